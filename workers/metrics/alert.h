// SPDX-License-Identifier: Apache-2.0
// Alerts at a threshold of the risk (ScoredSplit::risks): an alert is a row whose risk is at or
// above it, right when the label is not 0. Pure: thread-safe.
//
// The threshold of an alert rate r on N rows is the risk of the k-th highest row, k = ⌊r N + ½⌋ but
// at least 1. Rows that tie with it alert too, so the share of alerts may be above r: AlertFigures
// says what it is. The threshold is chosen on `tuning`, stored with the model, and used as it is on
// other splits.
#pragma once

#include <cstdint>

#include "workers/metrics/metric.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

// kInvalidArgument for a rate that is not within (0, 1); kFailedPrecondition without rows.
StatusOr<double> ThresholdAtRate(const ScoredSplit& split, double alert_rate);

struct AlertFigures {
  double threshold = 0;
  int64_t rows = 0, alerts = 0, right = 0, positives = 0;
  Metric alert_rate;   // alerts / rows
  Metric ppv;          // right / alerts
  Metric sensitivity;  // right / positives
  Metric specificity;  // negatives without an alert / negatives
};

AlertFigures AlertsAt(const ScoredSplit& split, double threshold, Weights weights = {});

}  // namespace anamnesis::metrics
