// SPDX-License-Identifier: Apache-2.0
#include "common/base/clock.h"

#include <gtest/gtest.h>

namespace anamnesis {
namespace {

TEST(Clock, NeverRunsBackwards) {
  const absl::Duration first = Clock::System().Monotonic();
  EXPECT_GE(Clock::System().Monotonic(), first);
}

TEST(Clock, KnowsTheCentury) {
  EXPECT_GT(Clock::System().Now(), absl::FromUnixSeconds(1'600'000'000));
}

}  // namespace
}  // namespace anamnesis
