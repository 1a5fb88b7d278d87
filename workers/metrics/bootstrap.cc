// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "common/base/philox.h"

namespace anamnesis::metrics {
namespace {

constexpr uint64_t kStream = uint64_t{0x626f6f74} << 32;  // "boot"

Status Check(const BootstrapOptions& options) {
  if (options.resamples < 1 || options.resamples > 1'000'000) {
    return InvalidArgument("bootstrap: ", options.resamples,
                           " resamples, expected from 1 to 1000000");
  }
  if (!(options.confidence > 0 && options.confidence < 1)) {
    return InvalidArgument("bootstrap: confidence ", options.confidence,
                           ", expected a number above 0 and below 1");
  }
  return absl::OkStatus();
}

// The first row of each subject, and the number of rows.
std::vector<size_t> SubjectStarts(const std::vector<int64_t>& subjects) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < subjects.size(); ++i) {
    if (i == 0 || subjects[i] != subjects[i - 1]) starts.push_back(i);
  }
  starts.push_back(subjects.size());
  return starts;
}

void Resample(const BootstrapOptions& options, uint64_t index, const std::vector<size_t>& starts,
              std::vector<int32_t>& weights) {
  PhiloxStream random(options.seed, kStream + index);
  std::fill(weights.begin(), weights.end(), 0);
  const size_t num_subjects = starts.size() - 1;
  for (size_t draw = 0; draw < num_subjects; ++draw) {
    const auto subject = static_cast<size_t>(random.Below(num_subjects));
    for (size_t row = starts[subject]; row < starts[subject + 1]; ++row) ++weights[row];
  }
}

// `values` are sorted and not empty.
double Quantile(const std::vector<double>& values, double share) {
  const double at = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(std::floor(at));
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (at - static_cast<double>(below));
}

IntervalOrReason IntervalOf(std::vector<double> values, const BootstrapOptions& options) {
  const auto defined = static_cast<int64_t>(values.size());
  const int64_t absent = options.resamples - defined;
  if (defined == 0 || absent * 10 > options.resamples) {
    return {std::nullopt, Cat("not defined in ", absent, " of ", options.resamples, " resamples")};
  }
  std::sort(values.begin(), values.end());
  const double tail = (1 - options.confidence) / 2;
  return {Interval{Quantile(values, tail), Quantile(values, 1 - tail)}, ""};
}

}  // namespace

StatusOr<std::vector<IntervalOrReason>> BootstrapIntervals(const Evaluator& evaluator,
                                                           const BootstrapOptions& options) {
  ANAM_RETURN_IF_ERROR(Check(options));
  const size_t num_metrics = evaluator.Compute().size();
  const std::vector<size_t> starts = SubjectStarts(evaluator.split().subjects());
  if (starts.size() < 3) {
    const char* reason = starts.size() == 1 ? "no subjects" : "a single subject";
    return std::vector<IntervalOrReason>(num_metrics, IntervalOrReason{std::nullopt, reason});
  }
  std::vector<std::vector<double>> values(num_metrics);
  std::vector<int32_t> weights(evaluator.split().subjects().size());
  for (int64_t index = 0; index < options.resamples; ++index) {
    Resample(options, static_cast<uint64_t>(index), starts, weights);
    const std::vector<NamedMetric> metrics = evaluator.Compute(weights);
    for (size_t i = 0; i < metrics.size(); ++i) {
      if (metrics[i].metric.value) values[i].push_back(*metrics[i].metric.value);
    }
  }
  std::vector<IntervalOrReason> intervals;
  for (std::vector<double>& of_metric : values) {
    intervals.push_back(IntervalOf(std::move(of_metric), options));
  }
  return intervals;
}

}  // namespace anamnesis::metrics
