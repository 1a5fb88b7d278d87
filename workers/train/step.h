// SPDX-License-Identifier: Apache-2.0
// One optimizer step (training.md, "The step"): gradients of this rank's lanes, their sum over all
// ranks in the fixed tree, clipping and AdamW. The same bits on every rank and for every number of
// ranks. One of the two places where Torch's exceptions become statuses. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/base/status.h"
#include "workers/collective/group.h"
#include "workers/stream/batch.h"
#include "workers/train/lane_gradients.h"
#include "workers/train/learner.h"
#include "workers/train/loss_scaler.h"
#include "workers/train/optimizer.h"

namespace anamnesis::train {

struct StepOptions {
  int num_lanes = 1;
  int64_t micro_batch_rows = 1;  // batch_size
  double max_grad_norm = 1.0;    // 0: no clipping
  uint64_t seed = 42;
  bool exact = true;  // determinism: exact
};

struct StepInput {
  int64_t step = 0;        // 1-based over the run; keys dropout
  int64_t num_rows = 0;    // of the global batch
  int64_t num_labels = 0;  // of the global batch, > 0
  double learning_rate = 0;
  bool stop_requested = false;  // here; all ranks learn of it
  // This rank's next row; called for the rows of lanes() in order: lane by lane, ascending within.
  std::function<StatusOr<stream::PackedRow>()> next_row;
  std::function<void()> alive;  // called between micro-batches
};

struct StepResult {
  double loss = 0;              // mean over the labels of the global batch, weighted as they are
  double grad_norm = 0;         // before clipping
  int64_t tokens = 0;           // of this rank
  bool stop_requested = false;  // on any rank
  bool skipped = false;         // loss or gradient overflowed fp16: nothing was updated
};

class StepRunner {
 public:
  // Everything is borrowed. `scaler` scales the loss (fp16) and is updated by each step; null:
  // there is no scale.
  StepRunner(const StepOptions& options, Learner& learner, collective::Group& group,
             AdamW& optimizer, LossScaler* scaler = nullptr);

  const collective::LaneRange& lanes() const { return gradients_.lanes(); }

  // kInvalidArgument names a step whose loss or gradient is not finite (parameters are untouched
  // then), with a scaler only once its scale is exhausted: before, the step is skipped, by all
  // ranks alike. kUnavailable: a peer is gone; else the error of next_row.
  StatusOr<StepResult> Run(const StepInput& input);

 private:
  struct LaneResult {
    double loss = 0, weight = 0;
  };
  StatusOr<LaneResult> RunLane(int lane, const StepInput& input, int64_t* tokens);
  Status RunThrowing(const StepInput& input, StepResult* result);
  double scale() const { return scaler_ != nullptr ? scaler_->scale : 1.0; }
  // Whether the step is to be made; false: it is skipped.
  StatusOr<bool> CheckFinite(const StepInput& input, const StepResult& result) const;
  void Update(const StepInput& input, const at::Tensor& gradient);

  StepOptions options_;
  Learner& learner_;
  collective::Group& group_;
  AdamW& optimizer_;
  LossScaler* scaler_;
  LaneGradients gradients_;
  at::Tensor host_gradient_;  // fp32 on the CPU
};

}  // namespace anamnesis::train
