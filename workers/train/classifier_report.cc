// SPDX-License-Identifier: Apache-2.0
#include "workers/train/classifier_report.h"

#include "workers/metrics/alert.h"
#include "workers/metrics/evaluator.h"
#include "workers/metrics/report.h"

namespace anamnesis::train {
namespace {

constexpr double kAlertRate = 0.05;

// The reports of a scorer on both splits, with the threshold that is chosen on the first.
StatusOr<Json> ReportsJson(const std::optional<metrics::ScoredSplit>& tuning,
                           const std::optional<metrics::ScoredSplit>& held_out, uint64_t seed,
                           const std::vector<metrics::Grouping>& groupings) {
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
  options.groupings = groupings;
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

}  // namespace

std::map<std::string, double> MetricsOf(const metrics::ScoredSplit& split) {
  std::map<std::string, double> values;
  for (const metrics::NamedMetric& named : metrics::Evaluator(split, std::nullopt).Compute()) {
    if (named.metric.value) values.emplace(named.name, *named.metric.value);
  }
  return values;
}

StatusOr<Json> EvaluationJson(const EvaluationInput& input) {
  static const std::vector<metrics::Grouping> kNone;
  const auto& groupings = input.cohort == nullptr ? kNone : input.cohort->groupings;
  ANAM_ASSIGN_OR_RETURN(Json json,
                        ReportsJson(input.tuning, input.held_out, input.seed, groupings));
  if (json.empty() || input.cohort == nullptr) return json;
  const Baseline& baseline = input.cohort->baseline;
  Json beside = Json::object();
  if (baseline.reason.empty()) {
    ANAM_ASSIGN_OR_RETURN(beside,
                          ReportsJson(baseline.tuning, baseline.held_out, input.seed, kNone));
    beside["c"] = baseline.c;
    beside["c_chosen_on"] = baseline.chosen_on_tuning ? Json("tuning") : Json(nullptr);
    beside["features"] = baseline.features;
  } else {
    beside["reason"] = baseline.reason;
  }
  beside["name"] = "bag_of_codes";
  beside["train_subjects"] = baseline.train_subjects;
  json["baseline"] = std::move(beside);
  return json;
}

std::map<std::string, double> FiguresOf(const Json& evaluation) {
  std::map<std::string, double> figures;
  const auto take = [&](const Json& from, const std::string& prefix) {
    for (const char* split : {"tuning", "held_out"}) {
      for (const char* name : {"loss", "accuracy", "auroc", "auprc"}) {
        const Json metric =
            from.value(Json::json_pointer(Cat("/", split, "/metrics/", name)), Json::object());
        const std::string key = Cat(prefix, split, "_", name);
        for (const auto& [part, end] :
             {std::pair{"value", ""}, std::pair{"low", "_low"}, std::pair{"high", "_high"}}) {
          const auto found = metric.find(part);
          if (found != metric.end() && found->is_number()) {
            figures.emplace(key + end, found->get<double>());
          }
        }
      }
    }
  };
  if (!evaluation.is_object()) return figures;
  take(evaluation, "");
  if (evaluation.contains("baseline")) take(evaluation["baseline"], "baseline_");
  return figures;
}

}  // namespace anamnesis::train
