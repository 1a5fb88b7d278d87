// SPDX-License-Identifier: Apache-2.0
// Percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13) of every metric, resampling
// subjects, not rows: a subject's rows come and go together. Pure: thread-safe.
//
// Resample b draws S of the S subjects with replacement, subject number Below(S) of
// PhiloxStream(seed, 2³² × 0x626f6f74 + b) each, so that the intervals depend on the seed and the
// rows alone. The ends are the quantiles (1 − confidence) / 2 and 1 − that of the resamples' values
// with linear interpolation (numpy.percentile's default).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/metrics/evaluator.h"

namespace anamnesis::metrics {

struct BootstrapOptions {
  uint64_t seed = 42;
  int64_t resamples = 1000;
  double confidence = 0.95;
};

struct Interval {
  double low = 0, high = 0;
};

// A metric may be absent in a resample (one class only); then the interval is that of the others,
// and absent where that happens in more than a tenth of them.
struct IntervalOrReason {
  std::optional<Interval> interval;
  std::string reason;
};

// One for each metric of evaluator.Compute(), in its order; all absent with fewer than two
// subjects. kInvalidArgument for options out of range.
StatusOr<std::vector<IntervalOrReason>> BootstrapIntervals(const Evaluator& evaluator,
                                                           const BootstrapOptions& options);

}  // namespace anamnesis::metrics
