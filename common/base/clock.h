// SPDX-License-Identifier: Apache-2.0
// Time passed in: code that needs the time takes a Clock, tests pass a FakeClock. Thread-safe.
#pragma once

#include "absl/time/time.h"

namespace anamnesis {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;            // wall clock, for stamps that people read
  virtual absl::Duration Monotonic() const = 0;  // since an arbitrary origin, for intervals
  static const Clock& System();
};

}  // namespace anamnesis
