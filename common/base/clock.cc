// SPDX-License-Identifier: Apache-2.0
#include "common/base/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace anamnesis {
namespace {

class SystemClock : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  absl::Duration Monotonic() const override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }
};

}  // namespace

const Clock& Clock::System() {
  static const SystemClock clock;
  return clock;
}

}  // namespace anamnesis
