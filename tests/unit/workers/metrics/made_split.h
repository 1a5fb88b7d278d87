// SPDX-License-Identifier: Apache-2.0
// Small splits by hand.
#pragma once

#include <cmath>
#include <vector>

#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

struct Case {
  int32_t label = 0;
  double risk = 0.5;  // in (0, 1)
};

// Two classes; subject i + 1 is case i. The risk comes back up to the last bits.
inline ScoredSplit SplitOf(const std::vector<Case>& cases) {
  Rows rows;
  rows.num_classes = 2;
  for (const Case& one : cases) {
    const double logits[] = {0, std::log(one.risk / (1 - one.risk))};
    rows.Add(rows.num_rows() + 1, one.label, logits);
  }
  return ScoredSplit::Create({rows}).value();
}

// Rows that predict `predicted[i]` for the label `labels[i]`.
inline ScoredSplit SplitOf(int num_classes, const std::vector<int32_t>& labels,
                           const std::vector<int32_t>& predicted) {
  Rows rows;
  rows.num_classes = num_classes;
  for (size_t i = 0; i < labels.size(); ++i) {
    std::vector<double> logits(static_cast<size_t>(num_classes), 0);
    logits[static_cast<size_t>(predicted[i])] = 1;
    rows.Add(static_cast<int64_t>(i), labels[i], logits);
  }
  return ScoredSplit::Create({rows}).value();
}

}  // namespace anamnesis::metrics
