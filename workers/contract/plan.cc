// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/plan.h"

#include "workers/contract/fields.h"

namespace anamnesis::contract {

// Outside the unnamed namespace: fields.h finds these by argument-dependent lookup.
template <typename V, fields::Is<GangPlan> T>
void VisitFields(V& visit, T& gang) {
  visit("run_id", gang.run_id);
  visit("epoch", gang.epoch);
  visit("rank", gang.rank);
  visit("num_ranks", gang.num_ranks);
  visit("threads", gang.threads);
  visit("device", gang.device);
  visit("interface", gang.interface);
}

template <typename V, fields::Is<ModelPlan> T>
void VisitFields(V& visit, T& model) {
  visit("name", model.name);
  visit("directory", model.directory);
  visit("sha256", model.sha256);
  visit("dtype", model.dtype);
  visit("quantisation", model.quantisation);
  visit("initial_adapter", model.initial_adapter);
}

template <typename V, fields::Is<LoraPlan> T>
void VisitFields(V& visit, T& lora) {
  visit("r", lora.r);
  visit("alpha", lora.alpha);
  visit("dropout", lora.dropout);
  visit("use_rslora", lora.use_rslora);
  visit("target_modules", lora.target_modules);
  visit("target_regex", lora.target_regex);
  visit("all_linear", lora.all_linear);
  visit("exclude_modules", lora.exclude_modules);
  visit("modules_to_save", lora.modules_to_save);
  visit("rank_pattern", lora.rank_pattern);
  visit("alpha_pattern", lora.alpha_pattern);
  visit("bias", lora.bias);
}

template <typename V, fields::Is<ClassifierPlan> T>
void VisitFields(V& visit, T& classifier) {
  visit("class_names", classifier.class_names);
  visit("loss", classifier.loss);
  visit("focal_gamma", classifier.focal_gamma);
  visit("class_weights", classifier.class_weights);
  visit("adapter", classifier.adapter);
}

template <typename V, fields::Is<DataPlan> T>
void VisitFields(V& visit, T& data) {
  visit("shards_directory", data.shards_directory);
  visit("shards_manifest_sha256", data.shards_manifest_sha256);
  visit("train_index", data.train_index);
  visit("tuning_index", data.tuning_index);
  visit("held_out_index", data.held_out_index);
  visit("train_split", data.train_split);
  visit("tuning_split", data.tuning_split);
  visit("held_out_split", data.held_out_split);
  visit("stream_digest", data.stream_digest);
  visit("stream", data.stream);
  visit("subject_hashes_sha256", data.subject_hashes_sha256);
}

template <typename V, fields::Is<TrainingPlan> T>
void VisitFields(V& visit, T& training) {
  visit("framework", training.framework);
  visit("engine", training.engine);
  visit("epochs", training.epochs);
  visit("batch_size", training.batch_size);
  visit("gradient_accumulation_steps", training.gradient_accumulation_steps);
  visit("gradient_checkpointing", training.gradient_checkpointing);
  visit("lanes", training.lanes);
  visit("learning_rate", training.learning_rate);
  visit("weight_decay", training.weight_decay);
  visit("lr_scheduler_type", training.lr_scheduler_type);
  visit("warmup_steps", training.warmup_steps);
  visit("max_grad_norm", training.max_grad_norm);
  visit("seed", training.seed);
  visit("determinism", training.determinism);
  visit("logging_steps", training.logging_steps);
  visit("eval_steps", training.eval_steps);
  visit("save_steps", training.save_steps);
  visit("save_total_limit", training.save_total_limit);
  visit("eval_batch_size", training.eval_batch_size);
  visit("early_stopping_patience", training.early_stopping_patience);
  visit("total_steps", training.total_steps);
  visit("steps_per_epoch", training.steps_per_epoch);
}

template <typename V, fields::Is<WandbPlan> T>
void VisitFields(V& visit, T& wandb) {
  visit("enabled", wandb.enabled);
  visit("mode", wandb.mode);
  visit("directory", wandb.directory);
  visit("project", wandb.project);
  visit("run_name", wandb.run_name);
  visit("entity", wandb.entity);
  visit("group", wandb.group);
  visit("job_type", wandb.job_type);
  visit("notes", wandb.notes);
  visit("tags", wandb.tags);
}

template <typename V, fields::Is<OutputPlan> T>
void VisitFields(V& visit, T& output) {
  visit("directory", output.directory);
  visit("resume_checkpoint", output.resume_checkpoint);
  visit("spec_yaml_sha256", output.spec_yaml_sha256);
  visit("resolved_spec", output.resolved_spec);
  visit("steps_executed_before", output.steps_executed_before);
  visit("tensorboard_directory", output.tensorboard_directory);
  visit("wandb", output.wandb);
}

template <typename V, fields::Is<TrainPlan> T>
void VisitFields(V& visit, T& plan) {
  visit("version", plan.version);
  visit("task", plan.task);
  visit("gang", plan.gang);
  visit("model", plan.model);
  visit("lora", plan.lora);
  visit("classifier", plan.classifier);
  visit("data", plan.data);
  visit("training", plan.training);
  visit("output", plan.output);
}

namespace {

constexpr int kVersion = 1;

Status OneOf(const std::string& source, const char* key, const std::string& value,
             std::initializer_list<const char*> allowed) {
  std::string list;
  for (const char* candidate : allowed) {
    if (value == candidate) return absl::OkStatus();
    list += Cat(list.empty() ? "" : ", ", candidate);
  }
  return InvalidArgument(source, ": key '", key, "': '", value, "' is not one of ", list);
}

Status AtLeast(const std::string& source, const char* key, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return InvalidArgument(source, ": key '", key, "': ", value, ", expected at least ", least);
}

// Ranges that a rank relies on, so that a plan written by hand fails here and not in the middle of
// a step.
Status CheckRanges(const TrainPlan& plan, const std::string& source) {
  const TrainingPlan& training = plan.training;
  ANAM_RETURN_IF_ERROR(AtLeast(source, "gang.num_ranks", plan.gang.num_ranks, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "gang.rank", plan.gang.rank, 0));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "gang.threads", plan.gang.threads, 1));
  if (plan.gang.rank >= plan.gang.num_ranks) {
    return InvalidArgument(source, ": key 'gang.rank': ", plan.gang.rank,
                           ", expected below gang.num_ranks ", plan.gang.num_ranks);
  }
  ANAM_RETURN_IF_ERROR(AtLeast(source, "lora.r", plan.lora.r, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.epochs", training.epochs, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.batch_size", training.batch_size, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.gradient_accumulation_steps",
                               training.gradient_accumulation_steps, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.lanes", training.lanes, plan.gang.num_ranks));
  if ((training.lanes & (training.lanes - 1)) != 0) {
    return InvalidArgument(source, ": key 'training.lanes': ", training.lanes,
                           ", expected a power of two");
  }
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.logging_steps", training.logging_steps, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.eval_steps", training.eval_steps, 0));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.save_steps", training.save_steps, 0));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.save_total_limit", training.save_total_limit, 0));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.eval_batch_size", training.eval_batch_size, 0));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.warmup_steps", training.warmup_steps, 0));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.total_steps", training.total_steps, 1));
  ANAM_RETURN_IF_ERROR(AtLeast(source, "training.steps_per_epoch", training.steps_per_epoch, 1));
  ANAM_RETURN_IF_ERROR(OneOf(source, "gang.device", plan.gang.device, {"cpu", "cuda"}));
  ANAM_RETURN_IF_ERROR(
      OneOf(source, "model.dtype", plan.model.dtype, {"float32", "bfloat16", "float16"}));
  ANAM_RETURN_IF_ERROR(
      OneOf(source, "model.quantisation", plan.model.quantisation, {"none", "nf4"}));
  ANAM_RETURN_IF_ERROR(OneOf(source, "training.lr_scheduler_type", training.lr_scheduler_type,
                             {"linear", "cosine", "constant", "constant_with_warmup"}));
  return OneOf(source, "training.determinism", training.determinism, {"exact", "fast"});
}

}  // namespace

bool TrainsWholeModel(const TrainPlan& plan) {
  return plan.task == "finetune_bert" && !plan.classifier.adapter;
}

Json ToJson(const TrainPlan& plan) {
  fields::Writer writer;
  VisitFields(writer, plan);
  return writer.Take();
}

StatusOr<TrainPlan> TrainPlanFromJson(const Json& json, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const int64_t version, JsonInt(json, "version", source));
  if (version != kVersion) {
    return InvalidArgument(source, ": key 'version': ", version, ", expected ", kVersion);
  }
  TrainPlan plan;
  fields::Reader reader(json, source, "", /*finite=*/true);
  VisitFields(reader, plan);
  ANAM_RETURN_IF_ERROR(reader.Finish());
  ANAM_RETURN_IF_ERROR(CheckRanges(plan, source));
  return plan;
}

StatusOr<TrainPlan> ReadTrainPlan(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return TrainPlanFromJson(json, path);
}

}  // namespace anamnesis::contract
