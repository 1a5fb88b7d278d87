// SPDX-License-Identifier: Apache-2.0
#include "workers/train/lane_gradients.h"

#include <ATen/ATen.h>

#include <utility>

namespace anamnesis::train {
namespace {

collective::LaneFold<at::Tensor> NewFold(int first_lane) {
  return {first_lane, [](at::Tensor& left, const at::Tensor& right) { left.add_(right); }};
}

}  // namespace

LaneGradients::LaneGradients(collective::Group& group, const at::Tensor& like, int num_lanes)
    : group_(group),
      like_(like),
      num_lanes_(num_lanes),
      lanes_(collective::LanesOfRank(group.rank(), group.size(), num_lanes)),
      roots_(collective::RootsOfGroup(group.size(), num_lanes)),
      fold_(NewFold(lanes_.begin)) {}

at::Tensor LaneGradients::Buffer() {
  if (free_.empty()) return at::empty_like(like_);
  at::Tensor buffer = std::move(free_.back());
  free_.pop_back();
  return buffer;
}

void LaneGradients::Push(const at::Tensor& gradient) {
  if (sum_.defined()) free_.push_back(std::move(sum_));
  at::Tensor buffer = Buffer();
  buffer.copy_(gradient);
  for (at::Tensor& free : fold_.Push(std::move(buffer))) free_.push_back(std::move(free));
}

at::Tensor LaneGradients::Sum(bool exact) {
  std::vector<at::Tensor> own;
  for (auto& [subtree, buffer] : fold_.roots()) own.push_back(std::move(buffer));
  fold_ = NewFold(lanes_.begin);
  if (exact) {
    sum_ = SumExact(std::move(own));
  } else {
    sum_ = own[0];
    for (size_t i = 1; i < own.size(); ++i) sum_.add_(own[i]);
    group_.AllReduceSum(sum_);
    for (size_t i = 1; i < own.size(); ++i) free_.push_back(std::move(own[i]));
  }
  return sum_;
}

at::Tensor LaneGradients::SumExact(std::vector<at::Tensor> own) {
  if (group_.size() == 1) return own[0];
  const int64_t size = like_.numel();
  at::Tensor send = at::zeros({roots_.max_per_rank, size}, like_.options());
  for (size_t i = 0; i < own.size(); ++i) send[static_cast<int64_t>(i)].copy_(own[i]);
  for (at::Tensor& buffer : own) free_.push_back(std::move(buffer));
  std::vector<at::Tensor> received = group_.AllGather(send);
  std::vector<collective::Subtree> subtrees;
  std::vector<at::Tensor> roots;
  for (int rank = 0; rank < group_.size(); ++rank) {
    const auto& of_rank = roots_.of_rank[rank];
    for (size_t i = 0; i < of_rank.size(); ++i) {
      subtrees.push_back(of_rank[i]);
      roots.push_back(received[rank][static_cast<int64_t>(i)]);
    }
  }
  for (const auto& [into, from] : collective::AdditionsInTreeOrder(subtrees, num_lanes_)) {
    roots[into].add_(roots[from]);
  }
  at::Tensor sum = Buffer();
  sum.copy_(roots[0]);
  return sum;
}

}  // namespace anamnesis::train
