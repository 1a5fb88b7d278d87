// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/stall.h"

#include <algorithm>

namespace anamnesis::gang {
namespace {
constexpr size_t kKept = 64;
}  // namespace

void StepTimes::Add(absl::Duration step) {
  if (recent_.size() < kKept) {
    recent_.push_back(step);
  } else {
    recent_[next_] = step;
  }
  next_ = (next_ + 1) % kKept;
}

absl::Duration StepTimes::Median() const {
  if (recent_.empty()) return absl::ZeroDuration();
  std::vector<absl::Duration> sorted = recent_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

absl::Duration StallLimit(const StallRule& rule, const StepTimes& times) {
  return std::max(rule.floor, rule.median_steps * times.Median());
}

}  // namespace anamnesis::gang
