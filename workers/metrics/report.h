// SPDX-License-Identifier: Apache-2.0
// The whole report of a classifier on one split: metrics with intervals, confusion matrix, figures
// per class, alerts, subgroups; as JSON and as a table for people. Depends on rows, labels, groups
// and seeds alone, never on the number of ranks. Pure: thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"
#include "workers/metrics/alert.h"
#include "workers/metrics/bootstrap.h"
#include "workers/metrics/class_report.h"
#include "workers/metrics/evaluator.h"
#include "workers/metrics/scores.h"

namespace anamnesis::metrics {

// Subjects by a key such as site, sex or age group. Subjects of other splits may be among them.
struct Grouping {
  std::string name;                           // "site"
  std::map<int64_t, std::string> of_subject;  // subject id → value
};

struct ReportOptions {
  // Of the risk, as stored with the model; without it the threshold is chosen on this split, which
  // is then to be `tuning`.
  std::optional<double> threshold;
  double alert_rate = 0.05;
  std::optional<BootstrapOptions> bootstrap = BootstrapOptions{};
  std::vector<Grouping> groupings;
};

struct ReportedMetric {
  std::string name;
  Metric metric;
  std::optional<IntervalOrReason> interval;  // unset: no bootstrap was asked for
};

struct SubgroupFigures {
  std::string value;  // of the key; of the rows whose subject has none "(not known)"
  int64_t rows = 0, subjects = 0, positives = 0;
  std::vector<ReportedMetric> metrics;  // without intervals; all absent with the reason "no rows"
                                        // for a value that no subject of the split has
};

struct Subgroups {
  std::string name;
  std::vector<SubgroupFigures> groups;  // by value; numbers by size, "2" before "10"
};

struct SplitReport {
  int num_classes = 0;
  int64_t rows = 0, subjects = 0, positives = 0;  // positives: label not 0
  std::vector<ReportedMetric> metrics;            // as of Evaluator::Compute
  std::vector<ClassFigures> classes;              // [C]
  Confusion confusion;
  AlertFigures alerts;
  // Of the area under the ROC curve (DeLong); absent for more than two classes and where a subject
  // has several rows.
  Metric auroc_standard_error;
  std::vector<Subgroups> subgroups;

  // nullptr where there is no metric of this name.
  const Metric* Find(const std::string& name) const;
};

// kFailedPrecondition for a split without rows; kInvalidArgument for options out of range.
StatusOr<SplitReport> MakeReport(const ScoredSplit& split, const ReportOptions& options);

// {"rows": …, "metrics": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}, "auprc": {"value":
// null, "reason": "no positives"}}, …}.
Json ReportJson(const SplitReport& report);

// Tables for people: the metrics with their intervals, then the subgroups. `baseline`, when there
// is one, stands beside.
std::string ReportText(const SplitReport& report, const SplitReport* baseline = nullptr);

}  // namespace anamnesis::metrics
