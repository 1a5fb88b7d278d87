// SPDX-License-Identifier: Apache-2.0
// Which rows of an epoch a rank computes, in which order. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "workers/collective/tree.h"

namespace anamnesis::train {

struct EpochShape {
  int64_t num_rows = 0;
  int64_t rows_per_step = 1;  // the global batch G
  int num_lanes = 1;

  int64_t num_steps() const { return (num_rows + rows_per_step - 1) / rows_per_step; }
  // Rows [StepBegin, StepEnd) are the global batch of a step, counted from 0 in the epoch.
  int64_t StepBegin(int64_t step) const { return step * rows_per_step; }
  int64_t StepEnd(int64_t step) const;
};

// Rows of the epoch for the lanes [lanes.begin, lanes.end), from `first_step` on: step by step,
// lane by lane, ascending.
std::vector<int64_t> RowsOfLanes(const EpochShape& epoch, const collective::LaneRange& lanes,
                                 int64_t first_step);

}  // namespace anamnesis::train
