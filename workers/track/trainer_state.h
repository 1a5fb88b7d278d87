// SPDX-License-Identifier: Apache-2.0
// trainer_state.json as HF's Trainer writes it (transformers trainer_callback.py,
// TrainerState.save_to_json): progress and the history of logged numbers. What HF has no field for
// lives under stateful_callbacks.AnamnesisTrainer, so that a resumed run logs what an uninterrupted
// one would. Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/io/json.h"

namespace anamnesis::track {

// Of training in fp16 (workers/train/loss_scaler.h).
struct LossScalerState {
  double scale = 0;  // 0: there is none
  int64_t growth_tracker = 0;
  int64_t skipped_steps = 0;
};

struct TrainerState {
  int64_t global_step = 0;
  double epoch = 0;  // fraction of epochs finished
  int64_t max_steps = 0;
  int64_t num_train_epochs = 0;
  int64_t logging_steps = 0;
  int64_t eval_steps = 0;
  int64_t save_steps = 0;
  int64_t train_batch_size = 0;
  int64_t num_input_tokens_seen = 0;  // all ranks, without BOS and EOS
  std::optional<double> best_metric;  // lowest evaluation loss
  int64_t best_global_step = 0;
  std::string best_model_checkpoint;
  Json log_history = Json::array();

  double loss_sum_since_log = 0;  // of the steps after the last log line
  int64_t steps_since_log = 0;
  double loss_sum = 0;  // of all steps of the run
  int64_t evaluations_without_improvement = 0;
  bool stopped_early = false;
  LossScalerState loss_scaler = {};
};

// Keys sorted, indent 2, final newline.
std::string TrainerStateText(const TrainerState& state);
// kInvalidArgument names the key. `source` is the path.
StatusOr<TrainerState> TrainerStateFromJson(const Json& json, const std::string& source);

}  // namespace anamnesis::track
