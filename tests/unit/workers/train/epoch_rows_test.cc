// SPDX-License-Identifier: Apache-2.0
#include "workers/train/epoch_rows.h"

#include <gtest/gtest.h>

#include <set>

namespace anamnesis::train {
namespace {

TEST(RowsOfLanes, DealEveryRowOnceForEveryNumberOfRanks) {
  for (int64_t num_rows = 1; num_rows <= 70; num_rows += 3) {
    const EpochShape epoch{num_rows, 16, 8};
    for (int num_ranks = 1; num_ranks <= 8; ++num_ranks) {
      std::multiset<int64_t> all;
      for (int rank = 0; rank < num_ranks; ++rank) {
        const auto rows = RowsOfLanes(epoch, collective::LanesOfRank(rank, num_ranks, 8), 0);
        all.insert(rows.begin(), rows.end());
      }
      EXPECT_EQ(all.size(), static_cast<size_t>(num_rows));
      EXPECT_EQ(std::set<int64_t>(all.begin(), all.end()).size(), all.size());
    }
  }
}

TEST(RowsOfLanes, ContinueInTheMiddleOfAnEpoch) {
  const EpochShape epoch{50, 8, 4};
  const auto whole = RowsOfLanes(epoch, {1, 3}, 0);
  const auto rest = RowsOfLanes(epoch, {1, 3}, 2);
  ASSERT_LT(rest.size(), whole.size());
  EXPECT_TRUE(std::equal(rest.rbegin(), rest.rend(), whole.rbegin()));
  for (const int64_t row : rest) EXPECT_GE(row, 16);
}

TEST(EpochShape, RoundsTheLastStepUp) {
  EXPECT_EQ((EpochShape{17, 8, 4}).num_steps(), 3);
  EXPECT_EQ((EpochShape{17, 8, 4}).StepEnd(2), 17);
}

}  // namespace
}  // namespace anamnesis::train
