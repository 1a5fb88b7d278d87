// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/stall.h"

#include <gtest/gtest.h>

namespace anamnesis::gang {
namespace {

TEST(StallLimit, IsTheFloorWhileStepsAreShort) {
  StepTimes times;
  EXPECT_EQ(StallLimit({}, times), absl::Seconds(60));
  times.Add(absl::Seconds(2));
  EXPECT_EQ(StallLimit({}, times), absl::Seconds(60));
}

TEST(StallLimit, FollowsTheMedianAndNotOneSlowStep) {
  StepTimes times;
  for (int i = 0; i < 5; ++i) times.Add(absl::Seconds(10));
  times.Add(absl::Seconds(1000));
  EXPECT_EQ(StallLimit({}, times), absl::Seconds(200));
}

TEST(StepTimes, ForgetsOldSteps) {
  StepTimes times;
  for (int i = 0; i < 64; ++i) times.Add(absl::Seconds(1));
  for (int i = 0; i < 40; ++i) times.Add(absl::Seconds(9));
  EXPECT_EQ(times.Median(), absl::Seconds(9));
}

}  // namespace
}  // namespace anamnesis::gang
