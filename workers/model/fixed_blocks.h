// SPDX-License-Identifier: Apache-2.0
// Elementwise functions whose bits do not depend on the number of threads. ATen cuts a tensor into
// one piece per thread and computes the last few elements of each piece with scalar code, whose
// exp, sigmoid, sin and cos differ from the vector code's in the last bit. Here the cuts are fixed:
// every kFixedBlock elements, below the size from which ATen splits a call.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace anamnesis::model {

inline constexpr int64_t kFixedBlock = 16384;

// op(x, more…) elementwise, as a new tensor like x, without a graph. All inputs have x's shape; op
// is called with 1-dim pieces of them, from several threads.
template <typename Op, typename... Tensors>
at::Tensor InFixedBlocks(const Op& op, const at::Tensor& x, const Tensors&... more) {
  const at::NoGradGuard no_grad;
  if (!x.device().is_cpu()) return op(x, more...);
  const at::Tensor flat = x.contiguous().view(-1);
  at::Tensor out = at::empty_like(flat);
  const auto run = [&, num = flat.numel()](const auto&... rest) {
    at::parallel_for(0, (num + kFixedBlock - 1) / kFixedBlock, 1, [&](int64_t first, int64_t last) {
      const at::NoGradGuard no_grad_in_thread;
      for (int64_t block = first; block < last; ++block) {
        const int64_t start = block * kFixedBlock;
        const int64_t size = std::min(kFixedBlock, num - start);
        out.narrow(0, start, size)
            .copy_(op(flat.narrow(0, start, size), rest.narrow(0, start, size)...));
      }
    });
  };
  run(more.contiguous().view(-1)...);
  return out.view(x.sizes());
}

}  // namespace anamnesis::model
