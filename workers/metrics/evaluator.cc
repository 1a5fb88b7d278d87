// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/evaluator.h"

#include "workers/metrics/alert.h"
#include "workers/metrics/class_report.h"

namespace anamnesis::metrics {
namespace {

Ranking RankingOf(const ScoredSplit& split, int32_t of_class) {
  std::vector<double> scores;
  std::vector<uint8_t> positive;
  for (int64_t row = 0; row < split.num_rows(); ++row) {
    scores.push_back(split.probabilities(row)[static_cast<size_t>(of_class)]);
    positive.push_back(split.labels()[static_cast<size_t>(row)] == of_class ? 1 : 0);
  }
  return Ranking(scores, std::move(positive));
}

}  // namespace

Evaluator::Evaluator(const ScoredSplit& split, std::optional<double> threshold)
    : split_(split), threshold_(threshold), calibration_(split) {
  for (int32_t c = split.num_classes() == 2 ? 1 : 0; c < split.num_classes(); ++c) {
    rankings_.push_back(RankingOf(split, c));
  }
}

Metric Evaluator::MeanOverClasses(Metric (Ranking::*figure)(Weights) const, Weights weights) const {
  CompensatedSum sum;
  for (size_t c = 0; c < rankings_.size(); ++c) {
    const Metric metric = (rankings_[c].*figure)(weights);
    if (!metric.value) {
      if (rankings_.size() == 1 || split_.num_rows() == 0) return metric;
      return Metric::Absent(Cat("class ", c, " against the rest: ", metric.reason));
    }
    sum.Add(*metric.value);
  }
  return Metric::Of(sum.value() / static_cast<double>(rankings_.size()));
}

std::vector<NamedMetric> Evaluator::Compute(Weights weights) const {
  const ClassAverages averages = AveragesOf(ConfusionOf(split_, weights));
  std::vector<NamedMetric> metrics = {
      {"loss", calibration_.Loss(weights)},
      {"accuracy", averages.accuracy},
      {"precision_weighted", averages.precision_weighted},
      {"recall_weighted", averages.recall_weighted},
      {"f1_weighted", averages.f1_weighted},
      {"precision_macro", averages.precision_macro},
      {"recall_macro", averages.recall_macro},
      {"f1_macro", averages.f1_macro},
      {"auroc", MeanOverClasses(&Ranking::Auroc, weights)},
      {"auprc", MeanOverClasses(&Ranking::Auprc, weights)},
      {"brier", calibration_.Brier(weights)},
      {"ece", calibration_.Ece(weights)},
  };
  if (threshold_) {
    const AlertFigures alerts = AlertsAt(split_, *threshold_, weights);
    metrics.push_back({"alert_rate", alerts.alert_rate});
    metrics.push_back({"ppv", alerts.ppv});
    metrics.push_back({"sensitivity", alerts.sensitivity});
    metrics.push_back({"specificity", alerts.specificity});
  }
  return metrics;
}

}  // namespace anamnesis::metrics
