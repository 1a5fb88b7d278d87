// SPDX-License-Identifier: Apache-2.0
// AUROC, average precision and DeLong's variance of AUROC from scores in rank order. Equal scores
// are one group, so that no order among them matters. Thread-safe (pure, immutable).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/metrics/metric.h"

namespace anamnesis::metrics {

// Positives and negatives of one question ("is it class c?") in groups of equal score, the highest
// first. Made once, counted often: a bootstrap only changes the weights. Holds its own arrays.
class Ranking {
 public:
  // `scores` are finite; `positive` [N] is 0 or 1.
  Ranking(std::span<const double> scores, std::vector<uint8_t> positive);

  // The area under the ROC curve: the probability that a positive scores above a negative, ties
  // half; computed in integers, so exactly rounded. Absent where one kind is missing. Equals
  // sklearn.metrics.roc_auc_score.
  Metric Auroc(Weights weights = {}) const;

  // Average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over the groups, without interpolation. Absent without
  // positives; 1 without negatives. Equals sklearn.metrics.average_precision_score.
  Metric Auprc(Weights weights = {}) const;

  // The standard error of Auroc() by DeLong, DeLong, Clarke-Pearson 1988 (eq. 4-6, for one curve):
  // √(S₁₀ / m + S₀₁ / n) with the sample variances of the placement values of m positives and n
  // negatives. Takes rows as independent: one row a subject. Absent with fewer than two of a kind.
  Metric AurocStandardError() const;

 private:
  struct Group {
    int64_t positives = 0;
    int64_t negatives = 0;
  };
  // Calls visit(Group) from the highest score down.
  template <typename Visit>
  void ForEachGroup(Weights weights, Visit visit) const;
  Group Totals(Weights weights) const;

  std::vector<uint32_t> order_;  // [N], rows by falling score
  std::vector<uint32_t> ends_;   // of the groups, in order_
  std::vector<uint8_t> positive_;
};

// Whether a run's AUROC is too good: above the ceiling by more than two of its standard errors.
bool IsAboveCeiling(double auroc, double standard_error, double ceiling);

}  // namespace anamnesis::metrics
