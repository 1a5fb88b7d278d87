// SPDX-License-Identifier: Apache-2.0
// How good the probabilities are: log loss, Brier score, expected calibration error. The terms of
// the rows are made once, the sums as often as there are weights. Immutable: thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "workers/metrics/metric.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

inline constexpr int kCalibrationBins = 15;

// exp(loss). Absent where that is beyond a double.
Metric Perplexity(double loss);

class Calibration {
 public:
  explicit Calibration(const ScoredSplit& split);

  // The mean cross entropy in nats, log Σ exp(logits) − logits[label], from the logits: unlike from
  // probabilities, nothing saturates.
  Metric Loss(Weights weights = {}) const;

  // The mean squared error of the probabilities: of class 1 for two classes, (p₁ − y)²; else summed
  // over the classes, Σ (p_c − [label = c])², from 0 to 2. Equals sklearn.metrics.brier_score_loss.
  Metric Brier(Weights weights = {}) const;

  // Σ over bins of (rows in the bin / rows) × |mean confidence − share that came true|, with 15
  // bins of equal width, bin = min(14, ⌊15 × confidence⌋). Two classes: the confidence is the
  // probability of class 1, true is label 1 (Naeini et al. 2015); more: the probability of the
  // predicted class, true is a right prediction (Guo et al. 2017, eq. 3).
  Metric Ece(Weights weights = {}) const;

 private:
  struct Row {
    double loss = 0, brier = 0, confidence = 0;
    int bin = 0;
    bool came_true = false;
  };
  Metric MeanOf(double Row::*term, Weights weights) const;

  std::vector<Row> rows_;
};

}  // namespace anamnesis::metrics
