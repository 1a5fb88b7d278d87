// SPDX-License-Identifier: Apache-2.0
// A clock that stands until it is advanced. Thread-safe.
#pragma once

#include <mutex>

#include "common/base/clock.h"

namespace anamnesis {

class FakeClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'790'000'000) + Monotonic(); }
  absl::Duration Monotonic() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    const std::lock_guard<std::mutex> lock(mutex_);
    now_ += by;
  }

 private:
  mutable std::mutex mutex_;
  absl::Duration now_ = absl::Seconds(1000);
};

}  // namespace anamnesis
