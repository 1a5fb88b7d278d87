// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/model_stage.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "common/io/file.h"
#include "workers/adapter/targets.h"
#include "workers/model/weight_files.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::agent {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string HubCache() {
  if (const std::string cache = Environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string home = Environment("HF_HOME"); !home.empty()) return home + "/hub";
  return Environment("HOME") + "/.cache/huggingface/hub";
}

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r'))
    text.pop_back();
  return text;
}

// Modules with a weight that LoRA can change, and those that can be trained whole, by the names of
// a decoder's tensors.
void ModuleNames(const std::vector<model::ExpectedTensor>& tensors, bool tied,
                 std::vector<std::string>* linear, std::vector<std::string>* saveable) {
  static constexpr std::string_view kSuffix = ".weight";
  for (const model::ExpectedTensor& tensor : tensors) {
    if (!tensor.name.ends_with(kSuffix) || tensor.shape.size() != 2) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - kSuffix.size());
    const bool embedding = module == "model.embed_tokens";
    if (embedding || module == "lm_head") saveable->push_back(module);
    if (!embedding && module != "lm_head") linear->push_back(module);
  }
  linear->push_back("lm_head");
  if (tied) saveable->push_back("lm_head");
}

// Other families are refused in the words of every key that is not built yet.
Status CheckModelType(const std::string& directory) {
  const std::string path = directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  ANAM_ASSIGN_OR_RETURN(const std::string type, JsonString(json, "model_type", path));
  if (type == "llama") return absl::OkStatus();
  return Unimplemented("model.model_name: ", path, ": model_type: ", type,
                       " is not built yet; built is llama");
}

}  // namespace

StatusOr<std::string> ResolveModelDirectory(const std::string& model_name,
                                            const std::string& revision) {
  if (IsDirectory(model_name)) {
    std::error_code error;
    const std::filesystem::path canonical = std::filesystem::canonical(model_name, error);
    if (error) return InvalidArgument("model.model_name: ", model_name, ": ", error.message());
    return canonical.string();
  }
  std::string folder = "models--";
  for (const char c : model_name) folder += c == '/' ? std::string("--") : std::string(1, c);
  const std::string base = Cat(HubCache(), "/", folder);
  const std::string wanted = revision.empty() ? "main" : revision;
  std::string commit = wanted;  // a revision may be a commit
  if (const std::string reference = Cat(base, "/refs/", wanted); PathExists(reference)) {
    ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(reference));
    commit = Trimmed(text);
  }
  const std::string snapshot = Cat(base, "/snapshots/", commit);
  if (IsDirectory(snapshot)) return snapshot;
  return InvalidArgument(
      "model.model_name: ", model_name, " is no directory, and its revision ", wanted,
      " is not in the Hugging Face cache (", base,
      "); downloads are not built yet: give a directory, or fill the cache with the "
      "`hf download` command of huggingface_hub");
}

contract::LoraPlan MakeLoraPlan(const config::LoraSection& lora) {
  contract::LoraPlan plan;
  plan.r = static_cast<int>(lora.r);
  plan.alpha = lora.lora_alpha;
  plan.dropout = lora.lora_dropout;
  plan.use_rslora = lora.use_rslora;
  plan.target_modules = lora.target_modules;
  plan.target_regex = lora.target_regex;
  plan.all_linear = lora.all_linear;
  plan.exclude_modules = lora.exclude_modules;
  plan.modules_to_save = lora.modules_to_save;
  for (const auto& [name, rank] : lora.rank_pattern)
    plan.rank_pattern[name] = static_cast<int>(rank);
  plan.alpha_pattern = lora.alpha_pattern;
  plan.bias = lora.bias;
  return plan;
}

StatusOr<ModelStage> CheckModel(const config::JobConfig& config) {
  ModelStage stage;
  stage.plan.name = config.model.model_name;
  ANAM_ASSIGN_OR_RETURN(stage.plan.directory,
                        ResolveModelDirectory(config.model.model_name, config.model.revision));
  const std::string& directory = stage.plan.directory;
  ANAM_RETURN_IF_ERROR(CheckModelType(directory));
  ANAM_ASSIGN_OR_RETURN(const model::ModelConfig shape, model::ReadModelConfig(directory));
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles weights, model::WeightFiles::Open(directory));
  const std::vector<model::ExpectedTensor> expected = model::ExpectedTensors(shape);
  ANAM_RETURN_IF_ERROR(weights.CheckAgainst(expected));
  ANAM_ASSIGN_OR_RETURN(stage.plan.sha256, model::ModelDigest(directory));
  stage.plan.dtype = config.training.bf16 ? "bfloat16" : "float32";

  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<text::Tokenizer> tokenizer,
                        text::Tokenizer::FromDirectory(directory));
  ANAM_RETURN_IF_ERROR(tokenizer->eos_id().status());
  if (tokenizer->vocab_size() > shape.vocab_size) {
    return InvalidArgument(directory, ": the tokenizer has ", tokenizer->vocab_size(),
                           " tokens, the model's vocab_size is ", shape.vocab_size);
  }
  stage.tokenizer_sha256 = tokenizer->sha256();

  std::vector<std::string> linear;
  std::vector<std::string> saveable;
  ModuleNames(expected, shape.tie_word_embeddings, &linear, &saveable);
  ANAM_RETURN_IF_ERROR(adapter::PlanTargets(MakeLoraPlan(config.lora), linear, saveable).status());
  return stage;
}

}  // namespace anamnesis::agent
