// SPDX-License-Identifier: Apache-2.0
#include "workers/train/epoch_rows.h"

#include <algorithm>

namespace anamnesis::train {

int64_t EpochShape::StepEnd(int64_t step) const {
  return std::min(num_rows, StepBegin(step) + rows_per_step);
}

std::vector<int64_t> RowsOfLanes(const EpochShape& epoch, const collective::LaneRange& lanes,
                                 int64_t first_step) {
  std::vector<int64_t> rows;
  for (int64_t step = first_step; step < epoch.num_steps(); ++step) {
    const int64_t begin = epoch.StepBegin(step);
    for (int lane = lanes.begin; lane < lanes.end; ++lane) {
      for (const int64_t row :
           collective::RowsOfLane(lane, epoch.num_lanes, epoch.StepEnd(step) - begin)) {
        rows.push_back(begin + row);
      }
    }
  }
  return rows;
}

}  // namespace anamnesis::train
