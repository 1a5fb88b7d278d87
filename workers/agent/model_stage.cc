// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/model_stage.h"

#include <algorithm>
#include <vector>

#include "common/io/file.h"
#include "workers/adapter/targets.h"
#include "workers/agent/starting_point.h"
#include "workers/encoder/config.h"
#include "workers/encoder/tensors.h"
#include "workers/model/bnb_layout.h"
#include "workers/model/layout.h"
#include "workers/model/weight_files.h"
#include "workers/quant/bnb_config.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::agent {
namespace {

// Names, shapes and dtypes of all weights; how the linear layers are to be held. A directory that
// holds them quantised keeps them so, as in transformers.
StatusOr<std::string> CheckWeights(const model::WeightFiles& weights,
                                   const std::vector<model::ExpectedTensor>& expected,
                                   bool load_in_4bit) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<model::ExpectedTensor> in_files,
                        model::WithBnbTensors(weights, expected));
  ANAM_RETURN_IF_ERROR(weights.CheckAgainst(in_files));
  const bool packed = std::any_of(in_files.begin(), in_files.end(),
                                  [](const auto& tensor) { return tensor.packed; });
  return std::string(packed || load_in_4bit ? "nf4" : "none");
}

// A BERT-style model that is to become a classifier. LoRA's targets are checked by the ranks.
StatusOr<ModelStage> CheckEncoder(const config::JobConfig& config, ModelStage stage) {
  const std::string& directory = stage.plan.directory;
  ANAM_ASSIGN_OR_RETURN(encoder::EncoderConfig shape, encoder::ReadEncoderConfig(directory));
  ANAM_RETURN_IF_ERROR(encoder::SetLabels(config.model.num_classes, {}, &shape));
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles weights, model::WeightFiles::Open(directory));
  std::vector<model::StoredTensor> stored;
  for (const auto& file : weights.files()) {
    stored.insert(stored.end(), file->tensors().begin(), file->tensors().end());
  }
  ANAM_ASSIGN_OR_RETURN(const encoder::WeightMatch match,
                        encoder::MatchWeights(shape, stored, directory));
  if (!match.note.empty()) stage.notes.push_back(match.note);
  ANAM_ASSIGN_OR_RETURN(stage.plan.sha256, model::ModelDigest(directory));
  if (config.model.max_length > shape.MaxTokens()) {
    return InvalidArgument("model.max_length: ", config.model.max_length, ", but ", directory,
                           " has ", shape.MaxTokens(), " positions: expected at most that");
  }
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<text::Tokenizer> tokenizer,
                        text::Tokenizer::FromDirectory(directory));
  if (tokenizer->vocab_size() > shape.vocab_size) {
    return InvalidArgument(directory, ": the tokenizer has ", tokenizer->vocab_size(),
                           " tokens, the model's vocab_size is ", shape.vocab_size);
  }
  stage.tokenizer_sha256 = tokenizer->sha256();
  return stage;
}

// LoRA's targets, and the adapter to start from.
Status CheckAdapter(const config::JobConfig& config, const model::ModelConfig& shape,
                    const std::vector<std::string>& base_digests, ModelStage* stage) {
  const bool classifies = config.task == config::Task::kClassifyLlm;
  std::vector<std::string> linear = model::LinearModules(shape);
  std::vector<std::string> saveable = model::SaveableModules(shape);
  if (classifies) {
    linear.pop_back();  // lm_head
    saveable.back() = adapter::kScoreModule;
  }
  adapter::FittedPlan fitted = adapter::FitPlan(MakeLoraPlan(config.lora), linear);
  if (classifies) adapter::FitToClassifier(&fitted);
  ANAM_ASSIGN_OR_RETURN(const adapter::TargetPlan targets,
                        adapter::PlanTargets(fitted.lora, linear, saveable));
  stage->notes.insert(stage->notes.end(), fitted.notes.begin(), fitted.notes.end());
  if (stage->plan.initial_adapter.empty()) return absl::OkStatus();
  if (classifies) saveable.push_back("lm_head");
  return CheckInitialAdapter(stage->plan.initial_adapter, base_digests, targets, linear, saveable);
}

}  // namespace

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

StatusOr<ModelStage> CheckModel(const config::JobConfig& config, const hub::HubAccess& access) {
  ModelStage stage;
  StartingPoint start;
  if (!config.model.pretrained_checkpoint.empty()) {
    ANAM_ASSIGN_OR_RETURN(start, FindStartingPoint(config.model.pretrained_checkpoint));
  }
  stage.plan.initial_adapter = start.adapter;
  if (!start.whole_model.empty()) {
    stage.plan.name = stage.plan.directory = start.whole_model;
    stage.notes.push_back(
        Cat("model.pretrained_checkpoint is a whole model and takes the place of ",
            "model.model_name"));
  } else {
    stage.plan.name = config.model.model_name;
    ANAM_ASSIGN_OR_RETURN(
        stage.plan.directory,
        hub::ResolveModelDirectory(config.model.model_name, config.model.revision, access));
  }
  const std::string& directory = stage.plan.directory;
  if (config.task == config::Task::kFinetuneBert && !start.adapter.empty()) {
    return Unimplemented("model.pretrained_checkpoint: ", start.adapter,
                         ": an adapter to start finetune_bert from is not built yet; name a model");
  }
  if (config.training.bf16) stage.plan.dtype = "bfloat16";
  if (config.training.fp16) stage.plan.dtype = "float16";
  if (config.task == config::Task::kFinetuneBert) return CheckEncoder(config, std::move(stage));
  ANAM_ASSIGN_OR_RETURN(const model::ModelConfig shape, model::ReadModelConfig(directory));
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles weights, model::WeightFiles::Open(directory));
  const std::vector<model::ExpectedTensor> expected = model::ExpectedTensors(shape);
  ANAM_RETURN_IF_ERROR(quant::ReadBnbConfig(directory).status());
  ANAM_ASSIGN_OR_RETURN(stage.plan.quantisation,
                        CheckWeights(weights, expected, config.training.load_in_4bit));
  ANAM_ASSIGN_OR_RETURN(const std::string digest, model::ModelDigest(directory));
  // A run resumes on the same weights only: in 4 bits they are others.
  const std::string packed_digest = model::PackedDigest(digest);
  stage.plan.sha256 = stage.plan.quantisation == "nf4" ? packed_digest : digest;
  if (config.model.max_length > shape.max_position_embeddings) {
    return InvalidArgument("model.max_length: ", config.model.max_length, ", but ", directory,
                           " has ", shape.max_position_embeddings,
                           " positions: expected at most that");
  }

  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<text::Tokenizer> tokenizer,
                        text::Tokenizer::FromDirectory(directory));
  ANAM_RETURN_IF_ERROR(tokenizer->eos_id().status());
  if (tokenizer->vocab_size() > shape.vocab_size) {
    return InvalidArgument(directory, ": the tokenizer has ", tokenizer->vocab_size(),
                           " tokens, the model's vocab_size is ", shape.vocab_size);
  }
  stage.tokenizer_sha256 = tokenizer->sha256();

  ANAM_RETURN_IF_ERROR(CheckAdapter(config, shape, {digest, packed_digest}, &stage));
  return stage;
}

}  // namespace anamnesis::agent
