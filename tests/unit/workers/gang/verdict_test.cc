// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/verdict.h"

#include <gtest/gtest.h>

namespace anamnesis::gang {
namespace {

TEST(PickCulprit, PrefersWhatNeedsNoOtherCause) {
  const std::vector<Evidence> evidence = {{.rank = 0, .symptom = Symptom::kPeerError},
                                          {.rank = 1, .symptom = Symptom::kError},
                                          {.rank = 2, .symptom = Symptom::kSignal, .signal = 9}};
  EXPECT_EQ(PickCulprit(evidence).rank, 2);
}

TEST(PickCulprit, TakesTheFirstAmongEquals) {
  const std::vector<Evidence> evidence = {{.rank = 3, .symptom = Symptom::kPeerError},
                                          {.rank = 1, .symptom = Symptom::kPeerError}};
  EXPECT_EQ(PickCulprit(evidence).rank, 3);
}

TEST(Describe, KeepsTheCodeThatTheRankReported) {
  const Status status = Describe(
      {.rank = 1, .symptom = Symptom::kError, .last_step = 4, .error = DataLoss("shard 3")});
  EXPECT_EQ(status, DataLoss("rank 1 after step 4: shard 3"));
}

TEST(Describe, TellsAKillFromACrash) {
  EXPECT_EQ(ExitCodeOf(Describe({.symptom = Symptom::kSignal, .signal = 9})), 75);
  EXPECT_EQ(ExitCodeOf(Describe({.symptom = Symptom::kSignal, .signal = 11})), 1);
}

}  // namespace
}  // namespace anamnesis::gang
