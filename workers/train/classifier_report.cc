// SPDX-License-Identifier: Apache-2.0
#include "workers/train/classifier_report.h"

#include "workers/metrics/alert.h"
#include "workers/metrics/evaluator.h"
#include "workers/metrics/report.h"

namespace anamnesis::train {
namespace {

constexpr double kAlertRate = 0.05;

}  // namespace

std::map<std::string, double> MetricsOf(const metrics::ScoredSplit& split) {
  std::map<std::string, double> values;
  for (const metrics::NamedMetric& named : metrics::Evaluator(split, std::nullopt).Compute()) {
    if (named.metric.value) values.emplace(named.name, *named.metric.value);
  }
  return values;
}

StatusOr<Json> EvaluationJson(const std::optional<metrics::ScoredSplit>& tuning,
                              const std::optional<metrics::ScoredSplit>& held_out, uint64_t seed) {
  const bool has_tuning = tuning && tuning->num_rows() > 0;
  const bool has_held_out = held_out && held_out->num_rows() > 0;
  Json json = Json::object();
  if (!has_tuning && !has_held_out) return json;
  const metrics::ScoredSplit& chosen_on = has_tuning ? *tuning : *held_out;
  ANAM_ASSIGN_OR_RETURN(const double threshold, metrics::ThresholdAtRate(chosen_on, kAlertRate));
  json["alert_rate"] = kAlertRate;
  json["alert_threshold"] = threshold;
  json["alert_threshold_chosen_on"] = has_tuning ? "tuning" : "held_out";
  metrics::ReportOptions options;
  options.threshold = threshold;
  options.alert_rate = kAlertRate;
  options.bootstrap->seed = seed;
  if (has_tuning) {
    ANAM_ASSIGN_OR_RETURN(const metrics::SplitReport report, metrics::MakeReport(*tuning, options));
    json["tuning"] = metrics::ReportJson(report);
  }
  if (has_held_out) {
    ANAM_ASSIGN_OR_RETURN(const metrics::SplitReport report,
                          metrics::MakeReport(*held_out, options));
    json["held_out"] = metrics::ReportJson(report);
  }
  return json;
}

}  // namespace anamnesis::train
