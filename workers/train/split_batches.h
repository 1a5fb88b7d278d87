// SPDX-License-Identifier: Apache-2.0
// This rank's rows of a whole split, in batches that do not depend on the number of ranks: rows are
// dealt to lanes as in a step, and no batch crosses lanes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "common/base/status.h"
#include "workers/collective/tree.h"
#include "workers/stream/batch.h"
#include "workers/stream/row_source.h"

namespace anamnesis::train {

struct EvaluateOptions {
  int num_lanes = 1;
  int64_t micro_batch_rows = 1;
  std::function<void()> alive;  // called between micro-batches
};

// `lane` counts from 0 within `lanes`; all batches of a lane come before those of the next.
using VisitBatch = std::function<Status(size_t lane, std::span<const stream::PackedRow> rows)>;

// Reads ahead on a thread of its own while `visit` works. `source` is at its only epoch. The first
// error of `source` or `visit` ends it.
Status ForEachBatch(stream::RowSource& source, const collective::LaneRange& lanes,
                    const EvaluateOptions& options, const VisitBatch& visit);

}  // namespace anamnesis::train
