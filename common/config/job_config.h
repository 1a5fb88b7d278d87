// SPDX-License-Identifier: Apache-2.0
// JobConfig: a job's YAML as typed values. One table (schema.h) drives parsing, defaults,
// validation, `explain` and the generated reference; unknown keys, wrong types and bad values are
// all reported at once with line, column and the key's path. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::config {

enum class Task {
  kPretrainLlm,
  kFinetuneLlm,
  kClassifyLlm,
  kFinetuneBert,
  kPretrainBert,
  kPrepare,
  kPredict
};
StatusOr<Task> TaskFromName(const std::string& name);
std::string NameOf(Task task);

struct ModelSection {
  std::string model_name;
  int64_t max_length = 0;
  std::string revision;
  int64_t num_classes = 2;  // of classification
  std::string pretrained_checkpoint;
};

struct DataSection {  // relative paths are already absolute against the working directory
  std::string data_dir, vocab_filepath, labels_filepath, medical_lookup_filepath,
      lab_lookup_filepath, region_lookup_filepath, time_lookup_filepath;
  int64_t cutoff_months = 0;
  std::string profile = "seed", value_mode, time_mode = "none", unknown_tokens = "keep-code",
              apply_to = "cases", boundary = "exclusive", on_missing_date = "error", truncation;
  // data.prompt.*, of finetune_llm; the template is empty without one.
  std::string prompt_template, prompt_question;
  std::map<std::string, std::string> prompt_answers;  // by class
};

struct LoraSection {
  int64_t r = 8;
  double lora_alpha = 8, lora_dropout = 0;
  bool use_rslora = false;
  std::vector<std::string> target_modules;
  std::string target_regex;  // a YAML string other than all-linear
  bool all_linear = false;
  std::vector<std::string> modules_to_save, exclude_modules;
  std::string bias = "none";
  std::map<std::string, int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
};

struct TrainingSection {
  std::string output_dir;  // absolute
  bool overwrite_output_dir = false;
  std::string framework = "unsloth";
  int64_t epochs = 1, batch_size = 1, gradient_accumulation_steps = 1;
  double learning_rate = 2e-4, weight_decay = 0;
  bool bf16 = false, fp16 = false, gradient_checkpointing = false, load_in_4bit = false;
  int64_t warmup_steps = 0, logging_steps = 500;
  int64_t eval_steps = 0, save_steps = 0;  // 0: once an epoch
  uint64_t seed = 42;
  std::optional<int64_t> lanes;
  std::string determinism = "exact";
  std::optional<int64_t> threads_per_rank;
  std::string lr_scheduler_type = "linear";
  double max_grad_norm = 1.0;
  std::optional<int64_t> eval_batch_size;
  int64_t save_total_limit = 0, early_stopping_patience = 0;
  // Of classification.
  std::string loss = "cross_entropy";
  double focal_gamma = 2;
  std::vector<double> class_weights;  // one a class, or none
};

struct JobConfig {
  Task task = Task::kPretrainLlm;
  std::string path;       // of the YAML file
  std::string yaml_text;  // verbatim
  ModelSection model;
  DataSection data;
  LoraSection lora;
  TrainingSection training;
  bool lora_present = false;  // finetune_bert trains an adapter only where it has the section
  bool wandb_present = false, wandb_enabled = false;
  std::optional<int64_t> ranks;
  std::string audit = "default";
  Json resolved;  // every key that applies to the task with its value, nested as in the YAML
  std::vector<std::string>
      notes;  // lines to tell the user (framework: unsloth runs the reference engine, …)
};

// Whether rows are subjects with their class: classification, and fine-tuning with a prompt.
bool ReadsLabels(const JobConfig& config);

// A configuration that is not, or no longer, a file of this machine.
struct ConfigText {
  std::string name;               // for messages: the file's path as the user gave it
  std::string text;               // the YAML
  std::string working_directory;  // absolute; relative paths are taken against it
};

// Checks and resolves; errors as of LoadJobConfig.
StatusOr<JobConfig> ParseJobConfig(const ConfigText& source, Task task,
                                   const std::vector<std::string>& overrides);

// Reads, checks and resolves. `overrides` are KEY=VALUE (dotted keys) as of --set. kInvalidArgument
// carries every problem, a line each ("FILE:LINE:COLUMN: training.epoch: unknown key, did you mean
// training.epochs?"); kUnimplemented (text contains "not built yet") when the file is right but
// asks for what is not built.
StatusOr<JobConfig> LoadJobConfig(const std::string& path, Task task,
                                  const std::vector<std::string>& overrides);

// Only the `data` section matters (prepare, validate, render): other sections may be absent and are
// only type-checked.
StatusOr<JobConfig> LoadDataConfig(const std::string& path,
                                   const std::vector<std::string>& overrides);

}  // namespace anamnesis::config
