// SPDX-License-Identifier: Apache-2.0
// How many ranks, threads and gradient lanes a run has (training.md, The step). Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/status.h"

namespace anamnesis::agent {

struct SizingInput {
  int64_t max_lanes = 16;  // unless training.lanes says: a lane's gradient is as large as the model
  int64_t batch_size = 1;
  int64_t gradient_accumulation_steps = 1;
  std::optional<int64_t> lanes;             // training.lanes
  std::optional<int64_t> ranks;             // --ranks, else resources.ranks
  std::optional<int64_t> threads_per_rank;  // --threads-per-rank, else training.threads_per_rank
  std::optional<int64_t> slots;             // --slots
  int64_t cores = 1;
};

struct Sizing {
  int64_t rows_per_step = 0;  // G
  int64_t lanes = 0;          // S
  int64_t ranks = 1;
  int64_t threads = 1;  // of each rank
};

// kInvalidArgument for more ranks than lanes (naming the smallest G and training.lanes that fit) or
// than slots.
StatusOr<Sizing> ResolveSizing(const SizingInput& input);

}  // namespace anamnesis::agent
