// SPDX-License-Identifier: Apache-2.0
// Confusion matrix, and precision, recall and F1 per class and as averages, with scikit-learn's
// conventions: a ratio without cases (0/0) counts as 0 (its zero_division = "warn"), and averages
// run over the classes that occur as a label or as a prediction. Pure: thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "workers/metrics/metric.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

// [C][C]: rows are labels, columns predictions.
using Confusion = std::vector<std::vector<int64_t>>;
Confusion ConfusionOf(const ScoredSplit& split, Weights weights = {});

struct ClassFigures {
  int64_t support = 0;    // rows with this label
  int64_t predicted = 0;  // rows with this prediction
  int64_t correct = 0;
  // Absent for a class that is neither label nor prediction.
  Metric precision, recall, f1;
};

struct ClassAverages {
  Metric accuracy;
  Metric precision_macro, recall_macro, f1_macro;
  Metric precision_weighted, recall_weighted, f1_weighted;  // by support
};

std::vector<ClassFigures> FiguresOf(const Confusion& confusion);  // [C]
// All absent without rows.
ClassAverages AveragesOf(const Confusion& confusion);

}  // namespace anamnesis::metrics
