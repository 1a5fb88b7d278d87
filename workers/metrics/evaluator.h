// SPDX-License-Identifier: Apache-2.0
// Every metric of a classifier on one split, under any weights of its rows: sorted once, counted as
// often as a bootstrap asks. Immutable: thread-safe.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "workers/metrics/calibration.h"
#include "workers/metrics/metric.h"
#include "workers/metrics/ranking.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

struct NamedMetric {
  std::string_view name;  // a constant
  Metric metric;
};

class Evaluator {
 public:
  // `split` is borrowed and outlives this. With a `threshold` the alerts at it are among the
  // metrics.
  Evaluator(const ScoredSplit& split, std::optional<double> threshold);

  // loss, accuracy, {precision, recall, f1}_{weighted, macro}, auroc, auprc, brier, ece; with a
  // threshold also alert_rate, ppv, sensitivity, specificity: always these, in this order. For more
  // than two classes auroc and auprc are the mean of one class against the rest, and absent where
  // one of them is.
  std::vector<NamedMetric> Compute(Weights weights = {}) const;

  const ScoredSplit& split() const { return split_; }
  // Of two classes one, of class 1; else one a class.
  const std::vector<Ranking>& rankings() const { return rankings_; }

 private:
  Metric MeanOverClasses(Metric (Ranking::*figure)(Weights) const, Weights weights) const;

  const ScoredSplit& split_;
  std::optional<double> threshold_;
  Calibration calibration_;
  std::vector<Ranking> rankings_;
};

}  // namespace anamnesis::metrics
