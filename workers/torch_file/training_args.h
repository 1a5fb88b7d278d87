// SPDX-License-Identifier: Apache-2.0
// training_args.bin: the settings of a run as a pickled transformers.TrainingArguments, for people
// and tools that open it by torch.load(weights_only=False) with transformers installed (checked
// with 5.23). It is written and never read: such a pickle names classes, and none is trusted here.
// The same values as JSON lie beside it, for everybody else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::torch_file {

// Names and defaults are those of transformers.TrainingArguments; what is not here keeps the
// default of the transformers that opens the file.
struct TrainingArgs {
  std::string output_dir;
  std::optional<std::string> run_name;
  std::vector<std::string> report_to;  // "tensorboard", "wandb"

  int64_t per_device_train_batch_size = 8;
  int64_t per_device_eval_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  double num_train_epochs = 3.0;
  int64_t max_steps = -1;

  double learning_rate = 5e-5;
  std::string lr_scheduler_type = "linear";
  int64_t warmup_steps = 0;
  std::string optim = "adamw_torch";
  double weight_decay = 0.0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;

  bool bf16 = false;
  bool fp16 = false;
  bool gradient_checkpointing = false;
  bool use_cpu = false;
  int64_t seed = 42;

  int64_t logging_steps = 500;
  std::string eval_strategy = "no";  // no, steps, epoch
  std::optional<int64_t> eval_steps;
  std::string save_strategy = "steps";  // no, steps, epoch, best
  int64_t save_steps = 500;
  std::optional<int64_t> save_total_limit;
  bool load_best_model_at_end = false;
  std::optional<std::string> metric_for_best_model;
  std::optional<bool> greater_is_better;
};

// Writes `path` (…/training_args.bin) and, with the ending .json, the same values as JSON; each
// appears whole or not at all. kInvalidArgument for a path that does not end in .bin and a
// strategy, scheduler or optimizer that TrainingArguments does not know.
Status WriteTrainingArgs(const std::string& path, const TrainingArgs& values);

}  // namespace anamnesis::torch_file
