// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "services/core/apply.h"

namespace anamnesis::core {
namespace {

constexpr int kNumStates = static_cast<int>(JobState::kRejected) + 1;

// Rows: from; columns: to, both in the order of the enum. docs/life-of-a-job.md draws the same.
constexpr const char* kTable[kNumStates] = {
    // QPSRpPrcxzSFCXJ: queued preparing starting running pausing Paused recovering cancelling
    // preempting resizing succeeded failed cancelled expired rejected
    ".x...x.....xx..",  // queued
    "x.xxx.xx..xx..x",  // preparing
    "x..xx.xx..xx..x",  // starting
    "x...x.xx..xx...",  // running
    ".....x.x..x....",  // pausing
    "x...........x..",  // paused
    ".x...x.....xx..",  // recovering
    "..........x.x..",  // cancelling
    "...............",  // preempting: no way in yet
    "...............",  // resizing: no way in yet
    "...............",  // succeeded
    "...............",  // failed
    "...............",  // cancelled
    "...............",  // expired
    "...............",  // rejected
};

TEST(MayGo, FollowsTheTableForEveryPair) {
  for (int from = 0; from < kNumStates; ++from) {
    ASSERT_EQ(std::string(kTable[from]).size(), static_cast<size_t>(kNumStates));
    for (int to = 0; to < kNumStates; ++to) {
      const auto a = static_cast<JobState>(from), b = static_cast<JobState>(to);
      EXPECT_EQ(MayGo(a, b), kTable[from][to] == 'x') << NameOf(a) << " to " << NameOf(b);
    }
  }
}

TEST(MayGo, LeavesNoTerminalStateAndLeadsOutOfEveryOther) {
  for (int from = 0; from < kNumStates; ++from) {
    const auto a = static_cast<JobState>(from);
    if (a == JobState::kPreempting || a == JobState::kResizing) continue;
    bool leads_out = false;
    for (int to = 0; to < kNumStates; ++to) leads_out |= MayGo(a, static_cast<JobState>(to));
    EXPECT_EQ(leads_out, !IsTerminal(a)) << NameOf(a);
  }
}

TEST(States, KnowWhichAreTerminal) {
  for (int i = 0; i < kNumStates; ++i) {
    EXPECT_EQ(IsTerminal(static_cast<JobState>(i)), i >= static_cast<int>(JobState::kSucceeded));
  }
  for (int i = 0; i <= static_cast<int>(AttemptState::kLost); ++i) {
    EXPECT_EQ(IsOver(static_cast<AttemptState>(i)),
              i >= static_cast<int>(AttemptState::kSucceeded));
  }
}

}  // namespace
}  // namespace anamnesis::core
