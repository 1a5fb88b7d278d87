// SPDX-License-Identifier: Apache-2.0
#include "common/config/job_config.h"

#include <algorithm>
#include <filesystem>

#include "common/config/checks.h"
#include "common/config/entries.h"
#include "common/config/nearest.h"
#include "common/config/predict_config.h"
#include "common/config/schema.h"
#include "common/config/yaml_document.h"

namespace anamnesis::config {
namespace {

// Reads resolved values into members. A key without a value leaves the member as it is.
class Filler {
 public:
  explicit Filler(const Entries& entries) : entries_(entries) {}

  template <typename T>
  void operator()(std::string_view key, T& member) const {
    const Json value = Value(key);
    if (!value.is_null()) member = value.get<T>();
  }
  template <typename T>
  void operator()(std::string_view key, std::optional<T>& member) const {
    const Json value = Value(key);
    if (!value.is_null()) member = value.get<T>();
  }
  Json Value(std::string_view key) const { return entries_.ValueOf(*FindKey(key)); }

 private:
  const Entries& entries_;
};

void FillModel(const Filler& fill, ModelSection& model) {
  fill("model.model_name", model.model_name);
  fill("model.max_length", model.max_length);
  fill("model.revision", model.revision);
  fill("model.num_classes", model.num_classes);
  fill("model.pretrained_checkpoint", model.pretrained_checkpoint);
}

void FillData(const Filler& fill, DataSection& data) {
  fill("data.data_dir", data.data_dir);
  fill("data.vocab_filepath", data.vocab_filepath);
  fill("data.labels_filepath", data.labels_filepath);
  fill("data.medical_lookup_filepath", data.medical_lookup_filepath);
  fill("data.lab_lookup_filepath", data.lab_lookup_filepath);
  fill("data.region_lookup_filepath", data.region_lookup_filepath);
  fill("data.time_lookup_filepath", data.time_lookup_filepath);
  fill("data.cutoff_months", data.cutoff_months);
  fill("data.profile", data.profile);
  fill("data.value_mode", data.value_mode);
  fill("data.time_mode", data.time_mode);
  fill("data.unknown_tokens", data.unknown_tokens);
  fill("data.apply_to", data.apply_to);
  fill("data.boundary", data.boundary);
  fill("data.on_missing_date", data.on_missing_date);
  fill("data.truncation", data.truncation);
  fill("data.prompt.template", data.prompt_template);
  fill("data.prompt.question", data.prompt_question);
  fill("data.prompt.answers", data.prompt_answers);
}

void FillLora(const Filler& fill, LoraSection& lora) {
  fill("lora.r", lora.r);
  fill("lora.lora_alpha", lora.lora_alpha);
  fill("lora.lora_dropout", lora.lora_dropout);
  fill("lora.use_rslora", lora.use_rslora);
  fill("lora.modules_to_save", lora.modules_to_save);
  fill("lora.exclude_modules", lora.exclude_modules);
  fill("lora.bias", lora.bias);
  fill("lora.rank_pattern", lora.rank_pattern);
  fill("lora.alpha_pattern", lora.alpha_pattern);
  const Json targets = fill.Value("lora.target_modules");
  if (targets.is_array()) {
    lora.target_modules = targets.get<std::vector<std::string>>();
  } else if (targets.is_string()) {
    const auto text = targets.get<std::string>();
    lora.all_linear = text == "all-linear";
    if (!lora.all_linear) lora.target_regex = text;
  }
}

void FillTraining(const Filler& fill, TrainingSection& training) {
  fill("training.output_dir", training.output_dir);
  fill("training.overwrite_output_dir", training.overwrite_output_dir);
  fill("training.framework", training.framework);
  fill("training.epochs", training.epochs);
  fill("training.batch_size", training.batch_size);
  fill("training.gradient_accumulation_steps", training.gradient_accumulation_steps);
  fill("training.learning_rate", training.learning_rate);
  fill("training.weight_decay", training.weight_decay);
  fill("training.bf16", training.bf16);
  fill("training.fp16", training.fp16);
  fill("training.gradient_checkpointing", training.gradient_checkpointing);
  fill("training.load_in_4bit", training.load_in_4bit);
  fill("training.warmup_steps", training.warmup_steps);
  fill("training.logging_steps", training.logging_steps);
  fill("training.eval_steps", training.eval_steps);
  fill("training.save_steps", training.save_steps);
  fill("training.seed", training.seed);
  fill("training.lanes", training.lanes);
  fill("training.determinism", training.determinism);
  fill("training.threads_per_rank", training.threads_per_rank);
  fill("training.lr_scheduler_type", training.lr_scheduler_type);
  fill("training.max_grad_norm", training.max_grad_norm);
  fill("training.eval_batch_size", training.eval_batch_size);
  fill("training.save_total_limit", training.save_total_limit);
  fill("training.early_stopping_patience", training.early_stopping_patience);
  fill("training.loss", training.loss);
  fill("training.focal_gamma", training.focal_gamma);
  fill("training.class_weights", training.class_weights);
}

// Every key of the task with its value, nested as in the YAML.
Json Resolve(Task task, const JobConfig& config, const Entries& entries) {
  Json resolved = Json::object();
  for (const KeyRow& row : Schema()) {
    if (!Contains(row.tasks, task)) continue;
    std::string pointer = "/";
    for (const char c : row.path) pointer += c == '.' ? '/' : c;
    resolved[Json::json_pointer(pointer)] = entries.ValueOf(row);
  }
  if (resolved.contains("wandb")) resolved["wandb"]["enabled"] = config.wandb_enabled;
  return resolved;
}

std::vector<std::string> NotesOf(const JobConfig& config) {
  std::vector<std::string> notes;
  const bool trains_llm = config.task == Task::kPretrainLlm || config.task == Task::kFinetuneLlm ||
                          config.task == Task::kClassifyLlm;
  if (trains_llm && config.training.framework == "unsloth") {
    notes.push_back(
        "training.framework: unsloth runs the reference engine until the fused engine is built; "
        "manifests say engine: reference");
  }
  if (config.data.medical_lookup_filepath.empty()) {
    notes.push_back(
        "data.medical_lookup_filepath is not set: MEDICAL// and MEASUREMENT// codes stay codes");
  }
  if (config.data.lab_lookup_filepath.empty()) {
    notes.push_back("data.lab_lookup_filepath is not set: LAB// codes stay codes");
  }
  return notes;
}

}  // namespace

StatusOr<Task> TaskFromName(const std::string& name) {
  std::vector<std::string> names;
  std::string list;
  for (const Task task : AllTasks()) {
    if (NameOf(task) == name) return task;
    names.push_back(NameOf(task));
    list += Cat(list.empty() ? "" : ", ", names.back());
  }
  const std::string near = Nearest(name, names);
  return InvalidArgument("unknown task '", Shorten(name), "', expected one of ", list,
                         near.empty() ? "" : Cat("; did you mean ", near, "?"));
}

std::string NameOf(Task task) {
  switch (task) {
    case Task::kPretrainLlm:
      return "pretrain_llm";
    case Task::kFinetuneLlm:
      return "finetune_llm";
    case Task::kClassifyLlm:
      return "classify_llm";
    case Task::kFinetuneBert:
      return "finetune_bert";
    case Task::kPretrainBert:
      return "pretrain_bert";
    case Task::kPrepare:
      return "prepare";
    case Task::kPredict:
      return "predict";
  }
  return "";
}

namespace {

// `as_verb`: of a task that a command carries out, whether or not a coordinator can.
StatusOr<JobConfig> Parse(const ConfigText& source, Task task,
                          const std::vector<std::string>& overrides, bool as_verb) {
  const std::string& path = source.name;
  ANAM_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(source.text, path));
  Entries entries;
  entries.working_directory = source.working_directory;
  ReadEntries(root, path, entries);
  for (const std::string& text_of_override : overrides) ApplyOverride(text_of_override, entries);
  CheckEntries(task, path, entries);
  if (!entries.problems.empty()) {
    return WithFieldViolations(InvalidArgument(TextOf(entries.problems)),
                               ViolationsOf(entries.problems));
  }
  std::vector<Problem> not_built = FindNotBuilt(task, path, entries);
  if (as_verb)
    std::erase_if(not_built, [](const Problem& problem) { return problem.key == "task"; });
  if (!not_built.empty()) {
    return WithFieldViolations(Unimplemented(TextOf(not_built)), ViolationsOf(not_built));
  }

  JobConfig config;
  config.task = task;
  config.path = path;
  config.yaml_text = source.text;
  const Filler fill(entries);
  FillModel(fill, config.model);
  FillData(fill, config.data);
  FillLora(fill, config.lora);
  FillTraining(fill, config.training);
  config.lora_present = entries.sections.contains("lora");
  config.wandb_present = entries.sections.contains("wandb");
  const Entry* wandb_enabled = entries.Find("wandb.enabled");
  config.wandb_enabled =
      wandb_enabled != nullptr ? wandb_enabled->value.get<bool>() : config.wandb_present;
  const Json ranks = fill.Value("resources.ranks");
  if (ranks.is_number_integer()) config.ranks = ranks.get<int64_t>();
  fill("audit", config.audit);
  config.resolved = Resolve(task, config, entries);
  config.notes = NotesOf(config);
  return config;
}

StatusOr<ConfigText> ReadConfigText(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const std::string text, ReadYamlFile(path));
  std::error_code error;
  const std::string here = std::filesystem::current_path(error).string();
  if (error) return FailedPrecondition("the working directory cannot be read: ", error.message());
  return ConfigText{.name = path, .text = text, .working_directory = here};
}

}  // namespace

StatusOr<JobConfig> ParseJobConfig(const ConfigText& source, Task task,
                                   const std::vector<std::string>& overrides) {
  return Parse(source, task, overrides, /*as_verb=*/false);
}

bool ReadsLabels(const JobConfig& config) {
  return config.task == Task::kClassifyLlm || config.task == Task::kFinetuneBert ||
         (config.task == Task::kFinetuneLlm && !config.data.prompt_template.empty());
}

StatusOr<JobConfig> LoadJobConfig(const std::string& path, Task task,
                                  const std::vector<std::string>& overrides) {
  ANAM_ASSIGN_OR_RETURN(const ConfigText source, ReadConfigText(path));
  return ParseJobConfig(source, task, overrides);
}

StatusOr<JobConfig> LoadDataConfig(const std::string& path,
                                   const std::vector<std::string>& overrides) {
  return LoadJobConfig(path, Task::kPrepare, overrides);
}

StatusOr<JobConfig> LoadPredictConfig(const std::string& path,
                                      const std::vector<std::string>& overrides) {
  ANAM_ASSIGN_OR_RETURN(const ConfigText source, ReadConfigText(path));
  return Parse(source, Task::kPredict, overrides, /*as_verb=*/true);
}

}  // namespace anamnesis::config
