// SPDX-License-Identifier: Apache-2.0
#include "workers/collective/tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "common/base/philox.h"

namespace anamnesis::collective {
namespace {

std::vector<float> RandomLanes(int num_lanes, uint64_t seed) {
  PhiloxStream random(seed, 7);
  std::vector<float> lanes;
  for (int i = 0; i < num_lanes; ++i) {
    lanes.push_back(static_cast<float>(random.Normal() * (i % 3 == 0 ? 1e4 : 1e-3)));
  }
  return lanes;
}

void Add(float& left, const float& right) { left += right; }

std::vector<std::pair<Subtree, float>> FoldRange(const LaneRange& range,
                                                 const std::vector<float>& lanes) {
  LaneFold<float> fold(range.begin, Add);
  for (int lane = range.begin; lane < range.end; ++lane) fold.Push(lanes[lane]);
  return fold.roots();
}

// What a gang computes: every rank folds its lanes, the roots are added in tree order.
float GangSum(int num_ranks, const std::vector<float>& lanes) {
  const int num_lanes = static_cast<int>(lanes.size());
  std::vector<Subtree> subtrees;
  std::vector<float> roots;
  for (int rank = 0; rank < num_ranks; ++rank) {
    for (const auto& [subtree, value] : FoldRange(LanesOfRank(rank, num_ranks, num_lanes), lanes)) {
      subtrees.push_back(subtree);
      roots.push_back(value);
    }
  }
  for (const auto& [into, from] : AdditionsInTreeOrder(subtrees, num_lanes)) {
    roots[into] += roots[from];
  }
  return roots[0];
}

TEST(LanesOfRank, CoverEveryLaneOnceInOrder) {
  for (int num_lanes = 1; num_lanes <= 16; num_lanes *= 2) {
    for (int num_ranks = 1; num_ranks <= num_lanes; ++num_ranks) {
      int next = 0;
      for (int rank = 0; rank < num_ranks; ++rank) {
        const LaneRange range = LanesOfRank(rank, num_ranks, num_lanes);
        EXPECT_EQ(range.begin, next);
        EXPECT_GE(range.size(), num_lanes / num_ranks);
        EXPECT_LE(range.size(), num_lanes / num_ranks + 1);
        next = range.end;
      }
      EXPECT_EQ(next, num_lanes);
    }
  }
}

TEST(LanesOfRank, ThreeRanksShareSixteenLanesSixFiveFive) {
  EXPECT_EQ(LanesOfRank(0, 3, 16).size(), 6);
  EXPECT_EQ(LanesOfRank(1, 3, 16).size(), 5);
  EXPECT_EQ(LanesOfRank(2, 3, 16).size(), 5);
}

TEST(MaximalSubtrees, TileARangeWithAlignedPowersOfTwo) {
  EXPECT_EQ(MaximalSubtrees({0, 6}), (std::vector<Subtree>{{0, 4}, {4, 2}}));
  EXPECT_EQ(MaximalSubtrees({6, 11}), (std::vector<Subtree>{{6, 2}, {8, 2}, {10, 1}}));
  EXPECT_EQ(MaximalSubtrees({0, 16}), (std::vector<Subtree>{{0, 16}}));
}

TEST(LaneFold, EndsWithTheMaximalSubtreesOfItsRange) {
  const std::vector<float> lanes = RandomLanes(16, 1);
  for (int begin = 0; begin < 16; ++begin) {
    for (int end = begin + 1; end <= 16; ++end) {
      std::vector<Subtree> found;
      for (const auto& [subtree, value] : FoldRange({begin, end}, lanes)) found.push_back(subtree);
      EXPECT_EQ(found, MaximalSubtrees({begin, end})) << begin << " " << end;
    }
  }
}

TEST(LaneFold, HoldsAtMostLogarithmPlusOneBuffers) {
  LaneFold<float> fold(0, Add);
  size_t most = 0;
  for (int lane = 0; lane < 16; ++lane) {
    most = std::max(most, fold.roots().size() + 1);
    fold.Push(1.0f);
  }
  EXPECT_LE(most, 5u);
}

TEST(Tree, GivesTheOneRankBitsForEveryNumberOfRanks) {
  for (int num_lanes = 1; num_lanes <= 16; num_lanes *= 2) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const std::vector<float> lanes = RandomLanes(num_lanes, seed);
      const float alone = GangSum(1, lanes);
      for (int num_ranks = 2; num_ranks <= num_lanes; ++num_ranks) {
        EXPECT_EQ(GangSum(num_ranks, lanes), alone)
            << "seed " << seed << ", lanes " << num_lanes << ", ranks " << num_ranks;
      }
    }
  }
}

TEST(Tree, DiffersFromASequentialSumSoThatTheTestAboveSaysSomething) {
  int differences = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> lanes = RandomLanes(16, seed);
    float sum = 0;
    for (const float value : lanes) sum += value;
    if (sum != GangSum(1, lanes)) ++differences;
  }
  EXPECT_GT(differences, 5);
}

TEST(LaneOfRow, PutsEveryRowInExactlyOneLaneAndBalances) {
  for (int num_lanes = 1; num_lanes <= 16; num_lanes *= 2) {
    for (int64_t num_rows = 0; num_rows <= 40; ++num_rows) {
      std::multiset<int64_t> rows;
      size_t least = 1000, most = 0;
      for (int lane = 0; lane < num_lanes; ++lane) {
        const std::vector<int64_t> of_lane = RowsOfLane(lane, num_lanes, num_rows);
        EXPECT_TRUE(std::is_sorted(of_lane.begin(), of_lane.end()));
        for (const int64_t row : of_lane) EXPECT_EQ(LaneOfRow(row, num_lanes), lane);
        rows.insert(of_lane.begin(), of_lane.end());
        least = std::min(least, of_lane.size());
        most = std::max(most, of_lane.size());
      }
      EXPECT_EQ(rows.size(), static_cast<size_t>(num_rows));
      EXPECT_EQ(std::set<int64_t>(rows.begin(), rows.end()).size(), rows.size());
      EXPECT_LE(most - least, 1u);
    }
  }
}

TEST(LaneOfRow, SpreadsAShortBatchOverAllRanks) {
  // Four rows on four ranks of a sixteen-lane step: one each.
  std::set<int> ranks;
  for (int64_t row = 0; row < 4; ++row) ranks.insert(LaneOfRow(row, 16) / 4);
  EXPECT_EQ(ranks.size(), 4u);
}

TEST(TreeSum, AddsNeighboursFirst) {
  EXPECT_EQ(TreeSum({1e16, 1.0, -1e16, 1.0}), (1e16 + 1.0) + (-1e16 + 1.0));
}

}  // namespace
}  // namespace anamnesis::collective
