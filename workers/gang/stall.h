// SPDX-License-Identifier: Apache-2.0
// When a silent rank counts as stalled: after max(floor, factor × median step). Pure.
// Thread-compatible.
#pragma once

#include <vector>

#include "absl/time/time.h"

namespace anamnesis::gang {

struct StallRule {
  absl::Duration floor = absl::Seconds(60);
  double median_steps = 20;
};

// The durations of the last 64 steps.
class StepTimes {
 public:
  void Add(absl::Duration step);
  absl::Duration Median() const;  // zero before the first step

 private:
  std::vector<absl::Duration> recent_;
  size_t next_ = 0;
};

absl::Duration StallLimit(const StallRule& rule, const StepTimes& times);

}  // namespace anamnesis::gang
