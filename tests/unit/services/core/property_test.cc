// SPDX-License-Identifier: Apache-2.0
// Whatever happens in whatever order: no slot is given twice, what is over stays as it is, commits
// of an epoch ascend, a refusal changes nothing (all checked by RandomWorld after every event), and
// every job can still come to its end.
#include <algorithm>
#include <map>

#include "tests/unit/services/core/random_world.h"

namespace anamnesis::core {
namespace {

constexpr uint64_t kNumSeeds = 250;
constexpr int64_t kNumEvents = 600;

class CoreProperty : public testing::Test {
 protected:
  // Stops at the first seed that fails, and names it.
  template <typename Body>
  void ForEachSeed(const Body& body) {
    for (uint64_t seed = 1; seed <= kNumSeeds && !HasFailure(); ++seed) {
      SCOPED_TRACE(Cat("seed ", seed));
      RandomWorld world(seed);
      for (int64_t i = 0; i < kNumEvents && !HasFailure(); ++i) world.Happen();
      body(world);
    }
  }
};

TEST_F(CoreProperty, EveryJobEndsWhenItIsCancelledAndItsWorkerEnds) {
  int64_t num_accepted = 0, num_refused = 0;
  std::map<JobState, int64_t> ended;
  ForEachSeed([&](RandomWorld& world) {
    num_accepted += world.num_accepted();
    num_refused += world.num_refused();
    world.CancelAll();
    for (const auto& [id, job] : world.state().jobs) EXPECT_TRUE(IsTerminal(job.state));
    EXPECT_TRUE(world.state().sessions.empty());
    EXPECT_TRUE(world.state().queue.empty());
    EXPECT_TRUE(world.state().recovering.empty());
    EXPECT_TRUE(world.state().followers.empty());
    EXPECT_TRUE(world.state().by_output_dir.empty());
    for (const JobState state :
         {JobState::kSucceeded, JobState::kFailed, JobState::kCancelled, JobState::kRejected}) {
      ended[state] += world.num_ended(state);
    }
  });
  // The worlds reached what they are to test.
  std::cout << num_accepted << " events accepted, " << num_refused << " refused, jobs ended:";
  for (const auto& [state, count] : ended) std::cout << " " << NameOf(state) << " " << count;
  std::cout << "\n";
  EXPECT_GE(num_accepted, 20'000);
  EXPECT_GE(num_refused, 5'000);
  for (const auto& [state, count] : ended) EXPECT_GE(count, 5) << NameOf(state);
}

TEST_F(CoreProperty, EveryJobEndsWhenNobodyDisturbs) {
  ForEachSeed([](RandomWorld& world) { EXPECT_TRUE(world.WorkInPeace(2'000)); });
}

TEST_F(CoreProperty, DecideSaysTheSameUntilNextWake) {
  for (uint64_t seed = 1; seed <= kNumSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(Cat("seed ", seed));
    RandomWorld world(seed);
    for (int64_t i = 0; i < kNumEvents / 4 && !HasFailure(); ++i) {
      world.Happen();
      world.CheckWake();
    }
  }
}

}  // namespace
}  // namespace anamnesis::core
