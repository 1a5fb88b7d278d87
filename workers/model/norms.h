// SPDX-License-Identifier: Apache-2.0
// The frozen norms of a decoder, of plain LibTorch ops. Means and quotients are taken in fp32 (fp64
// for fp64) and rounded as HF rounds them.
#pragma once

#include <ATen/ATen.h>

#include "workers/model/config.h"

namespace anamnesis::model {

// fp64 for fp64, else fp32.
at::ScalarType WideType(at::ScalarType type);

// A norm over the last dimension. Thread-compatible.
struct Norm {
  bool exists() const { return weight_D.defined(); }
  // x [..., D], like x. RMS norm: Zhang and Sennrich 2019; layer norm: Ba et al. 2016.
  at::Tensor Forward(const at::Tensor& x) const;

  NormKind kind = NormKind::kRms;
  double eps = 1e-6;
  at::Tensor weight_D;
  at::Tensor bias_D;  // undefined but for a layer norm
};

}  // namespace anamnesis::model
