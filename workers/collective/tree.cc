// SPDX-License-Identifier: Apache-2.0
#include "workers/collective/tree.h"

#include <algorithm>
#include <map>

namespace anamnesis::collective {
namespace {

bool IsPowerOfTwo(int value) { return value > 0 && (value & (value - 1)) == 0; }

// Adds up the subtree [first, first + size) and returns the index of the root that holds the sum.
int Collect(const std::map<int, std::pair<int, int>>& root_at, int first, int size,
            std::vector<Addition>* additions) {
  const auto it = root_at.find(first);
  ANAM_CHECK(it != root_at.end());
  const auto [root_size, index] = it->second;
  if (root_size == size) return index;
  ANAM_CHECK(size > 1);
  const int left = Collect(root_at, first, size / 2, additions);
  const int right = Collect(root_at, first + size / 2, size / 2, additions);
  additions->push_back({left, right});
  return left;
}

}  // namespace

LaneRange LanesOfRank(int rank, int num_ranks, int num_lanes) {
  ANAM_CHECK(rank >= 0 && rank < num_ranks && num_ranks <= num_lanes);
  const int share = num_lanes / num_ranks;
  const int rest = num_lanes % num_ranks;
  const int begin = rank * share + std::min(rank, rest);
  return {begin, begin + share + (rank < rest ? 1 : 0)};
}

std::vector<Subtree> MaximalSubtrees(const LaneRange& range) {
  std::vector<Subtree> subtrees;
  for (int first = range.begin; first < range.end;) {
    int size = 1;
    while (first % (2 * size) == 0 && first + 2 * size <= range.end) size *= 2;
    subtrees.push_back({first, size});
    first += size;
  }
  return subtrees;
}

Roots RootsOfGroup(int num_ranks, int num_lanes) {
  Roots roots;
  for (int rank = 0; rank < num_ranks; ++rank) {
    roots.of_rank.push_back(MaximalSubtrees(LanesOfRank(rank, num_ranks, num_lanes)));
    roots.max_per_rank =
        std::max(roots.max_per_rank, static_cast<int>(roots.of_rank.back().size()));
  }
  return roots;
}

int BitReverse(int value, int num_lanes) {
  ANAM_CHECK(IsPowerOfTwo(num_lanes) && value >= 0 && value < num_lanes);
  int reversed = 0;
  for (int bit = 1; bit < num_lanes; bit *= 2) {
    reversed = 2 * reversed + (value & 1);
    value >>= 1;
  }
  return reversed;
}

int LaneOfRow(int64_t row, int num_lanes) {
  return BitReverse(static_cast<int>(row % num_lanes), num_lanes);
}

std::vector<int64_t> RowsOfLane(int lane, int num_lanes, int64_t num_rows) {
  std::vector<int64_t> rows;
  for (int64_t row = BitReverse(lane, num_lanes); row < num_rows; row += num_lanes) {
    rows.push_back(row);
  }
  return rows;
}

std::vector<Addition> AdditionsInTreeOrder(const std::vector<Subtree>& roots, int num_lanes) {
  ANAM_CHECK(IsPowerOfTwo(num_lanes));
  std::map<int, std::pair<int, int>> root_at;
  for (size_t i = 0; i < roots.size(); ++i) {
    root_at[roots[i].first] = {roots[i].size, static_cast<int>(i)};
  }
  std::vector<Addition> additions;
  ANAM_CHECK(Collect(root_at, 0, num_lanes, &additions) == 0);
  return additions;
}

double TreeSum(const std::vector<double>& lanes) {
  LaneFold<double> fold(0, [](double& left, const double& right) { left += right; });
  for (const double value : lanes) fold.Push(value);
  double sum = 0;
  // One root when the number of lanes is a power of two.
  for (const auto& [subtree, value] : fold.roots()) sum += value;
  return sum;
}

}  // namespace anamnesis::collective
