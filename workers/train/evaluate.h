// SPDX-License-Identifier: Apache-2.0
// The loss on a whole split. Rows are dealt to lanes as in a step, each lane sums its rows' losses
// in fp64 and the lanes are added in tree order, so the result has the same bits for any number of
// ranks. Torch's exceptions fly. Thread-compatible.
#pragma once

#include <cstdint>

#include "common/base/status.h"
#include "workers/collective/group.h"
#include "workers/stream/row_source.h"
#include "workers/train/learner.h"
#include "workers/train/split_batches.h"

namespace anamnesis::train {

struct Evaluation {
  double loss = 0;  // mean over all labels of the split, weighted as in a step
  int64_t labels = 0;
  int64_t rows = 0;
};

// Perplexity is exp(loss). `source` is at its only epoch, unshuffled. kInvalidArgument when the
// split has no labels.
StatusOr<Evaluation> Evaluate(Learner& learner, collective::Group& group, stream::RowSource& source,
                              const EvaluateOptions& options);

}  // namespace anamnesis::train
