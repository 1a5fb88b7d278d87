// SPDX-License-Identifier: Apache-2.0
// The sum of a step's gradient over its lanes: each rank folds its own lanes like a binary counter,
// ranks exchange the roots of their subtrees and add them in the fixed tree order
// (workers/collective/tree.h; docs/formats/optimizer.md). Any number of ranks gives the same bits.
// Torch's exceptions fly. Thread-compatible.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "workers/collective/group.h"
#include "workers/collective/tree.h"

namespace anamnesis::train {

class LaneGradients {
 public:
  // Gradients are [size] of `like`'s dtype and device; `num_lanes` is a power of two ≥
  // group.size(). `group` is borrowed.
  LaneGradients(collective::Group& group, const at::Tensor& like, int num_lanes);

  const collective::LaneRange& lanes() const { return lanes_; }

  // Copies the gradient of the next own lane; call once for every lane of lanes(), in order. An
  // empty lane adds zero.
  void Push(const at::Tensor& gradient);

  // The sum over the lanes of all ranks [size], valid until the next Push; starts over. `exact`
  // false: one all-reduce, whose order of summation is the library's own.
  at::Tensor Sum(bool exact);

 private:
  at::Tensor Buffer();
  at::Tensor SumExact(std::vector<at::Tensor> own);

  collective::Group& group_;
  at::Tensor like_;
  int num_lanes_;
  collective::LaneRange lanes_;
  collective::Roots roots_;
  std::vector<at::Tensor> free_;
  collective::LaneFold<at::Tensor> fold_;
  at::Tensor sum_;
};

}  // namespace anamnesis::train
