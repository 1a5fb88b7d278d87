// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/phase_meter.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_clock.h"

namespace anamnesis::agent {
namespace {

class PhaseMeterTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  std::vector<PhaseView> told_;
  PhaseMeter meter_{clock_, absl::Seconds(1),
                    [this](const PhaseView& view) { told_.push_back(view); }};
};

TEST_F(PhaseMeterTest, TellsTheBeginOfEachPhase) {
  meter_.Tell("model", 0, 0);
  meter_.Tell("shards", 0, 100);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].phase, "shards");
  EXPECT_EQ(told_[1].total, 100u);
  EXPECT_FALSE(told_[1].eta_seconds.has_value());
}

TEST_F(PhaseMeterTest, TellsOneAdvanceInAPause) {
  meter_.Tell("shards", 0, 1000);
  for (uint64_t done = 1; done <= 100; ++done) {
    clock_.Advance(absl::Milliseconds(50));
    meter_.Tell("shards", done, 1000);
  }
  EXPECT_EQ(told_.size(), 6u);  // the begin, and one in each of five seconds
}

TEST_F(PhaseMeterTest, EstimatesWhatIsLeftAtTheRateSoFar) {
  meter_.Tell("shards", 0, 100);
  clock_.Advance(absl::Seconds(10));
  meter_.Tell("shards", 25, 100);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_DOUBLE_EQ(told_[1].eta_seconds.value_or(0), 30.0);
}

TEST_F(PhaseMeterTest, EstimatesNothingWithoutATotalOrAnAdvance) {
  meter_.Tell("index", 0, 0);
  clock_.Advance(absl::Seconds(10));
  meter_.Tell("index", 5, 0);
  clock_.Advance(absl::Seconds(10));
  meter_.Tell("index", 0, 10);
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_FALSE(told_[1].eta_seconds.has_value());
  EXPECT_FALSE(told_[2].eta_seconds.has_value());
}

}  // namespace
}  // namespace anamnesis::agent
