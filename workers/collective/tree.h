// SPDX-License-Identifier: Apache-2.0
// The fixed summation tree over the lanes of a step (docs/formats/optimizer.md, "The sum"): which
// lanes a rank owns, which subtrees it can fold alone, and in which order the roots of all ranks
// are added. Every sum has the bits of the one-rank fold because each addition of the full binary
// tree over S lanes is done exactly once, by whoever owns both sides. Pure functions, no torch.
//
//        ((0 1) (2 3)) ((4 5) (6 7))      S = 8, three ranks own [0,3) [3,6) [6,8): roots (0 1) 2 |
//        3 (4 5) | (6 7);
//                                         then 2+3, (0 1)+(2 3), (4 5)+(6 7), and last the two
//                                         halves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace anamnesis::collective {

struct LaneRange {
  int begin = 0;
  int end = 0;  // exclusive
  int size() const { return end - begin; }
};

// The leaves [first, first + size); size is a power of two and divides first.
struct Subtree {
  int first = 0;
  int size = 1;
  bool operator==(const Subtree&) const = default;
};

// Lanes of `rank`: contiguous, sizes differ by at most one, the larger ranges first. 0 ≤ rank <
// num_ranks ≤ num_lanes.
LaneRange LanesOfRank(int rank, int num_ranks, int num_lanes);

// The largest aligned subtrees that tile the range, from left to right.
std::vector<Subtree> MaximalSubtrees(const LaneRange& range);

// The roots of all ranks, in leaf order, and the largest number that one rank has.
struct Roots {
  std::vector<std::vector<Subtree>> of_rank;
  int max_per_rank = 0;
};
Roots RootsOfGroup(int num_ranks, int num_lanes);

// `value` with its log2(num_lanes) bits reversed. num_lanes is a power of two, 0 ≤ value <
// num_lanes.
int BitReverse(int value, int num_lanes);

// The lane of row `row` (≥ 0) of a global batch. Bit reversal spreads a short last batch over all
// ranks.
int LaneOfRow(int64_t row, int num_lanes);

// The rows of [0, num_rows) that belong to `lane`, ascending.
std::vector<int64_t> RowsOfLane(int lane, int num_lanes, int64_t num_rows);

// root[into] += root[from]
struct Addition {
  int into = 0;
  int from = 0;
  bool operator==(const Addition&) const = default;
};

// The additions, in order, that leave the sum over the whole tree in root 0. `roots` tile [0,
// num_lanes) from left to right.
std::vector<Addition> AdditionsInTreeOrder(const std::vector<Subtree>& roots, int num_lanes);

// Folds leaves that arrive one by one, like a binary counter: at most log2(leaves) + 1 buffers are
// alive when the first lane is aligned. `add(left, right)` is left += right.
template <typename Buffer>
class LaneFold {
 public:
  LaneFold(int first_lane, std::function<void(Buffer&, const Buffer&)> add)
      : next_(first_lane), add_(std::move(add)) {}

  // Adds the next lane's buffer; returns the buffers that are free again (their content is stale).
  std::vector<Buffer> Push(Buffer buffer) {
    std::vector<Buffer> free;
    stack_.push_back({{next_++, 1}, std::move(buffer)});
    while (stack_.size() >= 2) {
      auto& [left, left_buffer] = stack_[stack_.size() - 2];
      auto& [right, right_buffer] = stack_.back();
      if (left.size != right.size || left.first % (2 * left.size) != 0) break;
      add_(left_buffer, right_buffer);
      left.size *= 2;
      free.push_back(std::move(right_buffer));
      stack_.pop_back();
    }
    return free;
  }

  // The roots, in leaf order; equal to MaximalSubtrees of the lanes pushed.
  std::vector<std::pair<Subtree, Buffer>>& roots() { return stack_; }

 private:
  int next_;
  std::function<void(Buffer&, const Buffer&)> add_;
  std::vector<std::pair<Subtree, Buffer>> stack_;
};

// Sum of one number per lane in tree order; the same bits as folding them on one rank.
double TreeSum(const std::vector<double>& lanes);

}  // namespace anamnesis::collective
