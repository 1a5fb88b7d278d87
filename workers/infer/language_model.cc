// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/language_model.h"

#include <string>

#include "common/hub/model_directory.h"
#include "common/io/file.h"
#include "workers/adapter/peft_files.h"
#include "workers/model/config.h"
#include "workers/model/dtype.h"

namespace anamnesis::infer {
namespace {

constexpr char kAdapterConfig[] = "/adapter_config.json";

bool HoldsTokenizer(const std::string& directory) {
  return PathExists(directory + "/tokenizer.json") || PathExists(directory + "/vocab.txt") ||
         PathExists(directory + "/tokenizer.model");
}

StatusOr<at::ScalarType> StoredDtype(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ReadModelConfig(directory));
  return model::DtypeNamed(config.dtype);
}

// A file that a model directory lacks is wrong input, not a key that was looked up in vain.
Status AsBadInput(const Status& status) {
  return absl::IsNotFound(status) ? InvalidArgument(MessageOf(status)) : status;
}

}  // namespace

StatusOr<std::unique_ptr<LanguageModel>> LanguageModel::Open(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(std::string found,
                        hub::ResolveModelDirectory(directory, "main", {.asked_by = "MODEL_DIR"}));
  const std::string final_model = found + "/final_model";
  if (!PathExists(found + kAdapterConfig) && !PathExists(found + "/config.json") &&
      PathExists(final_model + kAdapterConfig)) {
    found = final_model;
  }
  std::unique_ptr<LanguageModel> out(new LanguageModel());
  if (PathExists(found + kAdapterConfig)) {
    ANAM_RETURN_IF_ERROR(AsBadInput(out->OpenAdapter(found)));
  } else if (PathExists(found + "/config.json")) {
    ANAM_RETURN_IF_ERROR(AsBadInput(out->OpenPlain(found)));
  } else {
    return InvalidArgument("MODEL_DIR: ", found, " holds neither adapter_config.json, nor ",
                           "final_model/adapter_config.json, nor config.json: expected a model's ",
                           "or an adapter's folder");
  }
  return out;
}

Status LanguageModel::OpenAdapter(const std::string& directory) {
  const std::string source = directory + kAdapterConfig;
  ANAM_ASSIGN_OR_RETURN(const adapter::AdapterConfig config, adapter::ReadAdapterConfig(directory));
  if (config.task != adapter::AdapterTask::kCausalLanguageModel) {
    return InvalidArgument(source, ": task_type: the adapter of a classifier, which writes no ",
                           "text: expected CAUSAL_LM");
  }
  contract::ModelPlan plan;
  plan.name = config.base_model_name;
  ANAM_ASSIGN_OR_RETURN(plan.directory,
                        hub::ResolveModelDirectory(
                            plan.name, "main", {.asked_by = source + ": base_model_name_or_path"}));
  ANAM_ASSIGN_OR_RETURN(const at::ScalarType dtype, StoredDtype(plan.directory));
  ANAM_ASSIGN_OR_RETURN(adapted_, adapter::TrainableModel::Open(plan, directory, at::kCPU, dtype));
  return OpenTexts(plan.directory, HoldsTokenizer(directory) ? directory : plan.directory);
}

Status LanguageModel::OpenPlain(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const at::ScalarType dtype, StoredDtype(directory));
  ANAM_ASSIGN_OR_RETURN(plain_, model::Decoder::Load(directory, dtype));
  return OpenTexts(directory, directory);
}

Status LanguageModel::OpenTexts(const std::string& base, const std::string& tokenizer) {
  ANAM_ASSIGN_OR_RETURN(tokenizer_, text::Tokenizer::FromDirectory(tokenizer));
  ANAM_ASSIGN_OR_RETURN(generation_, ReadGenerationConfig(base, decoder().config()));
  return absl::OkStatus();
}

}  // namespace anamnesis::infer
