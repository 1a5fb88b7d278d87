// SPDX-License-Identifier: Apache-2.0
// The report as tables.
#include <algorithm>
#include <cstdio>
#include <set>

#include "workers/metrics/report.h"

namespace anamnesis::metrics {
namespace {

using Table = std::vector<std::vector<std::string>>;

std::string Fixed(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

std::string ValueText(const Metric& metric) { return metric.value ? Fixed(*metric.value) : "-"; }

std::string IntervalText(const std::optional<IntervalOrReason>& interval) {
  if (!interval || !interval->interval) return "-";
  return Cat(Fixed(interval->interval->low), " to ", Fixed(interval->interval->high));
}

// Columns as wide as their widest cell.
std::string Aligned(const Table& table) {
  std::vector<size_t> widths;
  for (const auto& row : table) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string MetricTable(const SplitReport& report, const SplitReport* baseline) {
  Table table = {{"METRIC", "VALUE", "INTERVAL"}};
  if (baseline != nullptr) table[0].insert(table[0].end(), {"BASELINE", "INTERVAL"});
  for (const ReportedMetric& reported : report.metrics) {
    table.push_back({reported.name, ValueText(reported.metric), IntervalText(reported.interval)});
    if (baseline == nullptr) continue;
    for (const ReportedMetric& other : baseline->metrics) {
      if (other.name != reported.name) continue;
      table.back().push_back(ValueText(other.metric));
      table.back().push_back(IntervalText(other.interval));
    }
  }
  return Aligned(table);
}

std::string SubgroupTable(const Subgroups& subgroups) {
  static constexpr const char* kShown[] = {"auroc", "auprc",       "brier",     "ece",
                                           "ppv",   "sensitivity", "alert_rate"};
  Table table = {{subgroups.name, "ROWS", "POSITIVES"}};
  for (const char* name : kShown) table[0].emplace_back(name);
  for (const SubgroupFigures& group : subgroups.groups) {
    std::vector<std::string> row = {group.value, Cat(group.rows), Cat(group.positives)};
    for (const char* name : kShown) {
      for (const ReportedMetric& reported : group.metrics) {
        if (reported.name == name) row.push_back(ValueText(reported.metric));
      }
    }
    table.push_back(std::move(row));
  }
  return Aligned(table);
}

// Why metrics are absent, each reason once.
std::string Absences(const SplitReport& report) {
  std::string text;
  std::set<std::string> told;
  for (const ReportedMetric& reported : report.metrics) {
    if (reported.metric.value) continue;
    const std::string line = Cat(reported.name, " is not defined: ", reported.metric.reason, "\n");
    if (told.insert(line).second) text += line;
  }
  return text;
}

}  // namespace

std::string ReportText(const SplitReport& report, const SplitReport* baseline) {
  std::string text = Cat(report.rows, " rows of ", report.subjects, " subjects, ", report.positives,
                         " positive; alerts from a risk of ", Fixed(report.alerts.threshold), "\n");
  text += MetricTable(report, baseline) + Absences(report);
  for (const Subgroups& subgroups : report.subgroups) text += "\n" + SubgroupTable(subgroups);
  return text;
}

}  // namespace anamnesis::metrics
