// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/alert.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace anamnesis::metrics {
namespace {

Metric Share(int64_t part, int64_t whole, const char* reason) {
  if (whole == 0) return Metric::Absent(reason);
  return Metric::Of(static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace

StatusOr<double> ThresholdAtRate(const ScoredSplit& split, double alert_rate) {
  if (!(alert_rate > 0 && alert_rate < 1)) {
    return InvalidArgument("alert rate ", alert_rate, ": expected a share above 0 and below 1");
  }
  if (split.num_rows() == 0) {
    return FailedPrecondition("a threshold for an alert rate needs rows, the split has none");
  }
  const auto wanted =
      static_cast<int64_t>(std::floor(alert_rate * static_cast<double>(split.num_rows()) + 0.5));
  const int64_t count = std::clamp<int64_t>(wanted, 1, split.num_rows());
  std::vector<double> risks = split.risks();
  std::nth_element(risks.begin(), risks.begin() + (count - 1), risks.end(), std::greater<>());
  return risks[static_cast<size_t>(count - 1)];
}

AlertFigures AlertsAt(const ScoredSplit& split, double threshold, Weights weights) {
  AlertFigures figures;
  figures.threshold = threshold;
  for (size_t i = 0; i < split.risks().size(); ++i) {
    const int64_t weight = WeightOf(weights, i);
    const bool positive = split.labels()[i] != 0, alert = split.risks()[i] >= threshold;
    figures.rows += weight;
    figures.positives += positive ? weight : 0;
    figures.alerts += alert ? weight : 0;
    figures.right += alert && positive ? weight : 0;
  }
  const int64_t negatives = figures.rows - figures.positives;
  const int64_t wrong = figures.alerts - figures.right;
  figures.alert_rate = Share(figures.alerts, figures.rows, "no rows");
  figures.ppv = Share(figures.right, figures.alerts, "no alerts at this threshold");
  figures.sensitivity = Share(figures.right, figures.positives, "no positives");
  figures.specificity = Share(negatives - wrong, negatives, "no negatives");
  return figures;
}

}  // namespace anamnesis::metrics
