// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/make_plan.h"

#include "common/base/sha256.h"
#include "common/io/file.h"

namespace anamnesis::agent {
namespace {

contract::TrainingPlan MakeTrainingPlan(const PlanInput& input) {
  const config::TrainingSection& from = input.config.training;
  contract::TrainingPlan plan;
  plan.framework = from.framework;
  plan.engine = "reference";
  plan.epochs = from.epochs;
  plan.batch_size = from.batch_size;
  plan.gradient_accumulation_steps = from.gradient_accumulation_steps;
  plan.gradient_checkpointing = from.gradient_checkpointing;
  plan.lanes = input.sizing.lanes;
  plan.learning_rate = from.learning_rate;
  plan.weight_decay = from.weight_decay;
  plan.lr_scheduler_type = from.lr_scheduler_type;
  plan.warmup_steps = from.warmup_steps;
  plan.max_grad_norm = from.max_grad_norm;
  plan.seed = from.seed;
  plan.determinism = from.determinism;
  plan.logging_steps = from.logging_steps;
  plan.eval_steps = from.eval_steps;
  plan.save_steps = from.save_steps;
  plan.save_total_limit = from.save_total_limit;
  plan.eval_batch_size = from.eval_batch_size.value_or(0);
  plan.early_stopping_patience = from.early_stopping_patience;
  plan.total_steps = input.data.total_steps;
  plan.steps_per_epoch = input.data.steps_per_epoch;
  return plan;
}

// The section as the specification resolves it; a key that the schema lacks, or null, is absent.
contract::WandbPlan MakeWandbPlan(const PlanInput& input) {
  contract::WandbPlan plan;
  plan.enabled = input.config.wandb_enabled;
  plan.directory = input.output_directory + "/wandb";
  const auto found = input.config.resolved.find("wandb");
  if (found == input.config.resolved.end() || !found->is_object()) return plan;
  const auto fill = [&section = *found](const char* key, auto& value) {
    const auto member = section.find(key);
    if (member != section.end() && !member->is_null()) member->get_to(value);
  };
  fill("mode", plan.mode);
  fill("project", plan.project);
  fill("run_name", plan.run_name);
  fill("entity", plan.entity);
  fill("group", plan.group);
  fill("job_type", plan.job_type);
  fill("notes", plan.notes);
  fill("tags", plan.tags);
  if (plan.mode == "disabled") plan.enabled = false;
  return plan;
}

contract::ClassifierPlan MakeClassifierPlan(const PlanInput& input) {
  const config::TrainingSection& training = input.config.training;
  return {.class_names = input.data.class_names,
          .loss = training.loss,
          .focal_gamma = training.focal_gamma,
          .class_weights = training.class_weights,
          .adapter = input.config.task != config::Task::kFinetuneBert || input.config.lora_present};
}

}  // namespace

contract::TrainPlan MakePlan(const PlanInput& input) {
  contract::TrainPlan plan;
  plan.task = config::NameOf(input.config.task);
  plan.gang.run_id = input.record.run_id;
  plan.gang.epoch = input.record.attempt;
  plan.gang.num_ranks = static_cast<int>(input.sizing.ranks);
  plan.gang.threads = static_cast<int>(input.sizing.threads);
  plan.gang.interface = input.rank_interface;
  plan.gang.device = input.on_gpus ? "cuda" : "cpu";
  plan.model = input.model.plan;
  plan.lora = MakeLoraPlan(input.config.lora);
  plan.classifier = MakeClassifierPlan(input);
  plan.data = input.data.plan;
  plan.training = MakeTrainingPlan(input);
  plan.output.directory = input.output_directory;
  plan.output.resume_checkpoint = input.resume_checkpoint;
  plan.output.spec_yaml_sha256 = Sha256Hex(input.config.yaml_text);
  plan.output.resolved_spec = input.config.resolved;
  plan.output.steps_executed_before = input.steps_executed_before;
  plan.output.tensorboard_directory = input.record.tensorboard_directory;
  plan.output.wandb = MakeWandbPlan(input);
  return plan;
}

StatusOr<std::vector<std::string>> WritePlans(const contract::TrainPlan& plan,
                                              const std::string& marker) {
  std::vector<std::string> paths;
  for (int rank = 0; rank < plan.gang.num_ranks; ++rank) {
    contract::TrainPlan own = plan;
    own.gang.rank = rank;
    paths.push_back(Cat(marker, "/plan-rank-", rank, ".json"));
    const std::string text =
        contract::ToJson(own).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    ANAM_RETURN_IF_ERROR(WriteFileDurably(paths.back(), text));
  }
  return paths;
}

}  // namespace anamnesis::agent
