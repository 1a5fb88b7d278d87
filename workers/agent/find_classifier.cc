// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/find_classifier.h"

#include <algorithm>
#include <filesystem>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/adapter/peft_files.h"
#include "workers/checkpoint/manifest.h"
#include "workers/encoder/config.h"
#include "workers/model/config.h"
#include "workers/model/weight_files.h"
#include "workers/quant/bnb_config.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::agent {
namespace {

constexpr int64_t kBatchRows = 8;  // of a model without a manifest

bool HasFileIn(const std::string& directory, const char* name) {
  std::error_code error;
  return std::filesystem::is_regular_file(directory + "/" + name, error);
}

// A folder of model files and the manifest of the run that wrote them, if one of ours did.
struct Folder {
  std::string directory;
  bool is_adapter = false;
  std::optional<checkpoint::Manifest> manifest;
};

StatusOr<Folder> LookAt(const std::string& path) {
  Folder folder;
  const std::string final_model = checkpoint::FinalModelOf(path, /*whole=*/false).directory;
  if (HasFileIn(path, "adapter_config.json")) {
    folder = {.directory = path, .is_adapter = true, .manifest = {}};
  } else if (HasFileIn(final_model, "adapter_config.json")) {
    folder = {.directory = final_model, .is_adapter = true, .manifest = {}};
  } else if (HasFileIn(path, "config.json")) {
    folder.directory = path;
  } else if (!IsDirectory(path)) {
    return NotFound(path, ": no such folder: expected one with a trained classifier");
  } else {
    return InvalidArgument(path, ": holds neither adapter_config.json, nor final_model/, nor ",
                           "config.json: expected a trained classifier");
  }
  std::string with_manifest = folder.directory;
  if (!folder.is_adapter && !HasFileIn(path, checkpoint::kManifestName)) {
    with_manifest = checkpoint::FinalModelOf(path, /*whole=*/true).manifest_directory;
  }
  StatusOr<checkpoint::Manifest> manifest = checkpoint::ReadManifest(with_manifest);
  if (absl::IsNotFound(manifest.status())) return folder;
  if (!manifest.ok()) return manifest.status();
  ANAM_RETURN_IF_ERROR(checkpoint::VerifyFiles(folder.directory, *manifest));
  folder.manifest = *std::move(manifest);
  return folder;
}

StatusOr<std::string> ModelTypeOf(const std::string& directory) {
  const std::string path = directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return JsonString(json, "model_type", path);
}

Status NoClassifier(const Folder& folder, const std::string& what) {
  return InvalidArgument(folder.directory, ": ", what,
                         ", no classifier: predict takes what finetune_bert, classify_llm or ",
                         "finetune_llm with data.prompt trained");
}

// Whole models are encoders; an adapter's base says what it is on.
Status SetKind(const Folder& folder, const stream::StreamSpec* spec, const hub::HubAccess& access,
               contract::PredictPlan* plan) {
  if (!folder.is_adapter) {
    plan->model_directory = folder.directory;
    ANAM_ASSIGN_OR_RETURN(const std::string type, ModelTypeOf(folder.directory));
    if (!encoder::IsEncoderType(type)) {
      return Unimplemented(folder.directory, ": a whole model of type ", type,
                           " as a classifier is not built yet; supported: encoders, and adapters");
    }
    plan->kind = "encoder";
    return absl::OkStatus();
  }
  plan->adapter = folder.directory;
  ANAM_ASSIGN_OR_RETURN(const adapter::AdapterConfig config,
                        adapter::ReadAdapterConfig(folder.directory));
  ANAM_ASSIGN_OR_RETURN(plan->model_directory,
                        hub::ResolveModelDirectory(config.base_model_name, "", access));
  ANAM_ASSIGN_OR_RETURN(const std::string type, ModelTypeOf(plan->model_directory));
  if (config.task == adapter::AdapterTask::kSequenceClassification) {
    plan->kind = encoder::IsEncoderType(type) ? "encoder" : "decoder";
    return absl::OkStatus();
  }
  if (spec == nullptr) {
    return NoClassifier(folder, "the adapter of a language model, without a manifest of ours");
  }
  if (!spec->has_prompt()) return NoClassifier(folder, "the adapter of a language model");
  plan->kind = "prompt";
  return absl::OkStatus();
}

// The base must be that of the training; its digest also tells how the layers were held.
Status CheckBase(const Folder& folder, contract::PredictPlan* plan) {
  if (plan->kind == "encoder" && plan->adapter.empty()) return absl::OkStatus();
  const std::string& base = plan->model_directory;
  if (!folder.manifest) {
    ANAM_ASSIGN_OR_RETURN(const auto quantised, quant::ReadBnbConfig(base));
    if (quantised) plan->quantisation = "nf4";
    return absl::OkStatus();
  }
  ANAM_ASSIGN_OR_RETURN(const std::string digest, model::ModelDigest(base));
  if (folder.manifest->base_model_sha256 == Sha256Hex(digest + "\nnf4\n")) {
    plan->quantisation = "nf4";
  } else if (folder.manifest->base_model_sha256 != digest) {
    return FailedPrecondition(folder.directory, ": trained on another base model than ", base,
                              " is now; put back the one of the training");
  }
  return absl::OkStatus();
}

int64_t IntegerOf(const Json& resolved, const char* key) {
  const auto training = resolved.find("training");
  if (training == resolved.end() || !training->is_object()) return 0;
  const auto value = training->find(key);
  if (value == training->end() || !value->is_number_integer()) return 0;
  return value->get<int64_t>();
}

std::vector<std::string> ClassNamesOf(const stream::StreamSpec& spec) {
  std::vector<std::string> names = {"Control"};
  if (spec.class_sites.empty()) names.emplace_back("Case");
  names.insert(names.end(), spec.class_sites.begin(), spec.class_sites.end());
  return names;
}

// evaluation.json beside the model: the threshold that its training chose on tuning.
Status SetThreshold(const Folder& folder, FoundClassifier* found) {
  const std::string path = folder.directory + "/evaluation.json";
  if (!HasFileIn(folder.directory, "evaluation.json")) {
    found->notes.push_back(Cat(
        folder.directory, " has no evaluation.json with an alert threshold: of two classes the ",
        "second is predicted from a probability of 0.5"));
    return absl::OkStatus();
  }
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  const auto threshold = json.is_object() ? json.find("alert_threshold") : json.end();
  if (threshold == json.end() || !threshold->is_number()) {
    return InvalidArgument(path, ": key 'alert_threshold': expected a number; without this file ",
                           "0.5 is taken");
  }
  found->plan.has_threshold = true;
  found->plan.threshold = threshold->get<double>();
  if (json.value("alert_threshold_chosen_on", "") == "held_out") {
    found->notes.push_back("the alert threshold was chosen on held_out: the run had no tuning");
  }
  return absl::OkStatus();
}

// The longest document and the largest id that the model takes.
Status CheckShape(const FoundClassifier& found, int64_t num_tokens) {
  const std::string& directory = found.plan.model_directory;
  int64_t positions = 0, vocab_size = 0;
  if (found.plan.kind == "encoder") {
    ANAM_ASSIGN_OR_RETURN(const encoder::EncoderConfig shape,
                          encoder::ReadEncoderConfig(directory));
    positions = shape.MaxTokens();
    vocab_size = shape.vocab_size;
  } else {
    ANAM_ASSIGN_OR_RETURN(const model::ModelConfig shape, model::ReadModelConfig(directory));
    positions = shape.max_position_embeddings;
    vocab_size = shape.vocab_size;
  }
  if (num_tokens > vocab_size) {
    return InvalidArgument(directory, ": the tokenizer has ", num_tokens,
                           " tokens, the model's vocab_size is ", vocab_size);
  }
  if (found.stream.max_length <= positions) return absl::OkStatus();
  return InvalidArgument("model.max_length: ", found.stream.max_length, ", but ", directory,
                         " has ", positions, " positions: expected at most that");
}

Status CheckTokenizer(const Folder& folder, FoundClassifier* found) {
  const std::string& directory = found->plan.model_directory;
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<text::Tokenizer> tokenizer,
                        text::Tokenizer::FromDirectory(directory));
  if (!folder.manifest) {
    found->stream.tokenizer_sha256 = tokenizer->sha256();
  } else if (found->stream.tokenizer_sha256 != tokenizer->sha256()) {
    return FailedPrecondition(folder.directory, ": trained with another tokenizer than ", directory,
                              " has now; put back the tokenizer files of the training");
  }
  return CheckShape(*found, tokenizer->vocab_size());
}

// Of a folder without a manifest.
Status ReadAsConfigured(const Folder& folder, const config::JobConfig& config,
                        stream::StreamSpec* spec) {
  spec->rows = "documents";
  spec->profile = config.data.profile;
  spec->time_mode = config.data.time_mode;
  if (!config.data.truncation.empty()) spec->truncation = config.data.truncation;
  spec->max_length = static_cast<int>(config.model.max_length);
  if (spec->max_length > 0) return absl::OkStatus();
  return InvalidArgument("model.max_length: is missing, and ", folder.directory,
                         " has no manifest that says it: expected a number of tokens");
}

}  // namespace

StatusOr<FoundClassifier> FindClassifier(const std::string& path, const config::JobConfig& config,
                                         const hub::HubAccess& access) {
  ANAM_ASSIGN_OR_RETURN(const Folder folder, LookAt(path));
  FoundClassifier found;
  contract::PredictPlan& plan = found.plan;
  plan.batch_rows = kBatchRows;
  if (folder.manifest) {
    const checkpoint::Manifest& manifest = *folder.manifest;
    ANAM_ASSIGN_OR_RETURN(
        found.stream, stream::StreamSpecFromJson(manifest.stream, folder.directory + ": manifest"));
    plan.dtype = manifest.dtype;
    plan.lanes = std::max<int64_t>(1, manifest.lanes);
    const int64_t of_training = IntegerOf(manifest.resolved_spec, "batch_size");
    const int64_t of_evaluation = IntegerOf(manifest.resolved_spec, "eval_batch_size");
    plan.batch_rows = std::max<int64_t>(1, of_evaluation > 0 ? of_evaluation : of_training);
  } else {
    ANAM_RETURN_IF_ERROR(ReadAsConfigured(folder, config, &found.stream));
  }
  ANAM_RETURN_IF_ERROR(SetKind(folder, folder.manifest ? &found.stream : nullptr, access, &plan));
  if (found.stream.is_packed()) return NoClassifier(folder, "trained on packed narratives");
  if (folder.manifest) plan.class_names = ClassNamesOf(found.stream);
  if (found.stream.profile != config.data.profile) {
    return InvalidArgument("data.profile: ", config.data.profile, ", but the model was trained on ",
                           found.stream.profile, ": set it to that");
  }
  found.stream.cutoff_months = static_cast<int>(config.data.cutoff_months);
  found.stream.apply_to = config.data.apply_to;
  found.stream.boundary = config.data.boundary;
  found.stream.on_missing_date = "keep";
  ANAM_RETURN_IF_ERROR(CheckBase(folder, &plan));
  ANAM_RETURN_IF_ERROR(CheckTokenizer(folder, &found));
  ANAM_RETURN_IF_ERROR(SetThreshold(folder, &found));
  return found;
}

}  // namespace anamnesis::agent
