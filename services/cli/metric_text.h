// SPDX-License-Identifier: Apache-2.0
// Metric points as lines of a table and as a live picture. Thread-safe (pure).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "services/cli/curve.h"

namespace anamnesis::v1 {
class MetricPoint;
}

namespace anamnesis::cli {

// What `metrics` shows unless told: loss, learning_rate, tokens_per_second, tuning_loss.
const std::vector<std::string>& DefaultMetrics();

// Head and line of fixed columns: step, epoch (of the attempt), one for each name; '-' where the
// point has no such value.
std::string MetricHead(const std::vector<std::string>& names);
std::string MetricLine(const v1::MetricPoint& point, const std::vector<std::string>& names);
// Whether the point has a value of one of the names.
bool HasAny(const v1::MetricPoint& point, const std::vector<std::string>& names);

// The curves of followed metrics. A later attempt's value of a step replaces the earlier one's.
class MetricCurves {
 public:
  // A curve for each name, below one another; by default one of loss with tuning_loss as marks.
  explicit MetricCurves(std::vector<std::string> names);
  void Add(const v1::MetricPoint& point);
  // A head of last values, then the curves: exactly `height` lines, none wider than `width`.
  std::vector<std::string> Picture(const std::string& title, size_t width, size_t height,
                                   bool ascii) const;

 private:
  std::vector<CurvePoint> PointsOf(const std::string& name) const;

  std::vector<std::string> names_;
  bool marks_tuning_;
  std::map<std::string, std::map<int64_t, double>> by_name_;
  int64_t last_step_ = 0;
  std::map<std::string, double> last_;
};

}  // namespace anamnesis::cli
