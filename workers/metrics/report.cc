// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/report.h"

#include <algorithm>
#include <set>

namespace anamnesis::metrics {
namespace {

constexpr char kNotKnown[] = "(not known)";

std::vector<ReportedMetric> Reported(const std::vector<NamedMetric>& metrics) {
  std::vector<ReportedMetric> out;
  for (const NamedMetric& named : metrics) {
    out.push_back({std::string(named.name), named.metric, std::nullopt});
  }
  return out;
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.size() < 18 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

struct ByValue {
  bool operator()(const std::string& a, const std::string& b) const {
    const bool numbers = IsNumber(a) && IsNumber(b);
    if (numbers && std::stoll(a) != std::stoll(b)) return std::stoll(a) < std::stoll(b);
    if (IsNumber(a) != IsNumber(b)) return IsNumber(a);
    return a < b;
  }
};

Subgroups SubgroupsOf(const ScoredSplit& split, const Grouping& grouping, double threshold) {
  const auto value_of = [&](int64_t subject) {
    const auto found = grouping.of_subject.find(subject);
    return found == grouping.of_subject.end() ? std::string(kNotKnown) : found->second;
  };
  std::set<std::string, ByValue> values;
  for (const auto& [subject, value] : grouping.of_subject) values.insert(value);
  for (const int64_t subject : split.subjects()) values.insert(value_of(subject));
  Subgroups subgroups;
  subgroups.name = grouping.name;
  for (const std::string& value : values) {
    const ScoredSplit chosen =
        split.Select([&](int64_t subject) { return value_of(subject) == value; });
    const Evaluator evaluator(chosen, threshold);
    subgroups.groups.push_back({.value = value,
                                .rows = chosen.num_rows(),
                                .subjects = chosen.num_subjects(),
                                .positives = chosen.num_positives(),
                                .metrics = Reported(evaluator.Compute())});
  }
  return subgroups;
}

Metric StandardError(const Evaluator& evaluator) {
  const ScoredSplit& split = evaluator.split();
  if (split.num_classes() > 2) return Metric::Absent("more than two classes");
  if (split.num_subjects() != split.num_rows()) {
    return Metric::Absent("a subject has several rows, which are not independent");
  }
  return evaluator.rankings().front().AurocStandardError();
}

Json MetricJson(const Metric& metric) {
  if (metric.value) return {{"value", *metric.value}};
  return {{"value", nullptr}, {"reason", metric.reason}};
}

Json MetricsJson(const std::vector<ReportedMetric>& metrics) {
  Json json = Json::object();
  for (const ReportedMetric& reported : metrics) {
    Json& entry = json[reported.name] = MetricJson(reported.metric);
    if (!reported.interval) continue;
    if (reported.interval->interval) {
      entry["low"] = reported.interval->interval->low;
      entry["high"] = reported.interval->interval->high;
    } else {
      entry["no_interval"] = reported.interval->reason;
    }
  }
  return json;
}

Json ClassesJson(const std::vector<ClassFigures>& classes) {
  Json json = Json::array();
  for (const ClassFigures& figures : classes) {
    json.push_back({{"support", figures.support},
                    {"predicted", figures.predicted},
                    {"correct", figures.correct},
                    {"precision", MetricJson(figures.precision)},
                    {"recall", MetricJson(figures.recall)},
                    {"f1", MetricJson(figures.f1)}});
  }
  return json;
}

}  // namespace

const Metric* SplitReport::Find(const std::string& name) const {
  for (const ReportedMetric& reported : metrics) {
    if (reported.name == name) return &reported.metric;
  }
  return nullptr;
}

StatusOr<SplitReport> MakeReport(const ScoredSplit& split, const ReportOptions& options) {
  if (split.num_rows() == 0) return FailedPrecondition("the split has no rows to report on");
  double threshold = 0;
  if (options.threshold) {
    threshold = *options.threshold;
  } else {
    ANAM_ASSIGN_OR_RETURN(threshold, ThresholdAtRate(split, options.alert_rate));
  }
  const Evaluator evaluator(split, threshold);
  SplitReport report;
  report.num_classes = split.num_classes();
  report.rows = split.num_rows();
  report.subjects = split.num_subjects();
  report.positives = split.num_positives();
  report.metrics = Reported(evaluator.Compute());
  if (options.bootstrap) {
    ANAM_ASSIGN_OR_RETURN(const std::vector<IntervalOrReason> intervals,
                          BootstrapIntervals(evaluator, *options.bootstrap));
    for (size_t i = 0; i < intervals.size(); ++i) report.metrics[i].interval = intervals[i];
  }
  report.confusion = ConfusionOf(split);
  report.classes = FiguresOf(report.confusion);
  report.alerts = AlertsAt(split, threshold);
  report.auroc_standard_error = StandardError(evaluator);
  for (const Grouping& grouping : options.groupings) {
    report.subgroups.push_back(SubgroupsOf(split, grouping, threshold));
  }
  return report;
}

Json ReportJson(const SplitReport& report) {
  const AlertFigures& alerts = report.alerts;
  Json json = {{"classes", ClassesJson(report.classes)},
               {"confusion", report.confusion},
               {"metrics", MetricsJson(report.metrics)},
               {"auroc_standard_error", MetricJson(report.auroc_standard_error)},
               {"num_classes", report.num_classes},
               {"positives", report.positives},
               {"rows", report.rows},
               {"subjects", report.subjects},
               {"threshold", alerts.threshold},
               {"alerts", alerts.alerts},
               {"subgroups", Json::object()}};
  for (const Subgroups& subgroups : report.subgroups) {
    Json& groups = json["subgroups"][subgroups.name] = Json::array();
    for (const SubgroupFigures& group : subgroups.groups) {
      groups.push_back({{"value", group.value},
                        {"rows", group.rows},
                        {"subjects", group.subjects},
                        {"positives", group.positives},
                        {"metrics", MetricsJson(group.metrics)}});
    }
  }
  return json;
}

}  // namespace anamnesis::metrics
