// SPDX-License-Identifier: Apache-2.0
// The scores of a classifier on a whole split, the same on every rank and for any number of ranks.
// Torch's exceptions fly. Thread-compatible.
#pragma once

#include "common/base/status.h"
#include "workers/collective/group.h"
#include "workers/metrics/scores.h"
#include "workers/stream/row_source.h"
#include "workers/train/learner.h"
#include "workers/train/split_batches.h"

namespace anamnesis::train {

// `source` is at its only epoch. Errors of the rows, and of ScoredSplit::Create.
StatusOr<metrics::ScoredSplit> ScoreSplit(Learner& learner, collective::Group& group,
                                          stream::RowSource& source,
                                          const EvaluateOptions& options);

}  // namespace anamnesis::train
