// SPDX-License-Identifier: Apache-2.0
#include "workers/train/split_batches.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "workers/stream/prefetch.h"

namespace anamnesis::train {

Status ForEachBatch(stream::RowSource& source, const collective::LaneRange& lanes,
                    const EvaluateOptions& options, const VisitBatch& visit) {
  std::vector<int64_t> own_rows;
  std::vector<size_t> lane_ends;  // in own_rows
  for (int lane = lanes.begin; lane < lanes.end; ++lane) {
    const auto rows = collective::RowsOfLane(lane, options.num_lanes, source.num_rows());
    own_rows.insert(own_rows.end(), rows.begin(), rows.end());
    lane_ends.push_back(own_rows.size());
  }
  const auto batch_rows = static_cast<size_t>(options.micro_batch_rows);
  stream::Prefetcher rows(source, std::move(own_rows), 2 * batch_rows);
  size_t row = 0;
  for (size_t lane = 0; lane < lane_ends.size(); ++lane) {
    while (row < lane_ends[lane]) {
      std::vector<stream::PackedRow> batch;
      const size_t end = std::min(lane_ends[lane], row + batch_rows);
      for (; row < end; ++row) {
        ANAM_ASSIGN_OR_RETURN(stream::PackedRow next, rows.Next());
        batch.push_back(std::move(next));
      }
      ANAM_RETURN_IF_ERROR(visit(lane, batch));
      if (options.alive) options.alive();
    }
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::train
