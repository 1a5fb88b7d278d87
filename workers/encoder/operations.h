// SPDX-License-Identifier: Apache-2.0
// Differentiable pieces of an encoder whose bits do not depend on the number of threads: LayerNorm,
// activations, counter-keyed dropout, means over documents, and a linear layer that is trained.
// "Wide" is fp32, or fp64 in an fp64 model.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "workers/adapter/dropout.h"
#include "workers/encoder/config.h"
#include "workers/model/linear.h"

namespace anamnesis::encoder {

// Sums over rows are taken in pieces of this many: long enough for a GEMM, short enough that none
// splits a piece among threads.
inline constexpr int64_t kRowPiece = 1024;

struct Norm {
  at::Tensor weight_D;  // wide; undefined: no norm here
  at::Tensor bias_D;    // undefined: none
  double eps = 1e-12;
};

// (x − mean) / sqrt(var + eps) · weight + bias over the last dim (Ba et al. 2016), x [N, D] wide.
// Gradients of weight and bias are summed over rows in order, in fp64.
at::Tensor LayerNorm(const at::Tensor& x_ND, const Norm& norm);

at::Tensor Activate(Activation activation, const at::Tensor& x);

// act(first half of the columns) · second half (Shazeer 2020, GeGLU), [T, 2F] → [T, F].
at::Tensor GatedActivation(Activation activation, const at::Tensor& x_TG);

// Dropout by adapter/dropout.h on the graph; x itself when not training or p is 0.
at::Tensor Dropout(const at::Tensor& x_TF, const adapter::DropoutContext& context, int64_t module,
                   double p);

// The context of one value per document, [B, features], out of that of [T, features].
adapter::DropoutContext PerDocument(const adapter::DropoutContext& context);

// A context as numbers that autograd can keep, and back (training is true then).
std::vector<int64_t> Packed(const adapter::DropoutContext& context);
adapter::DropoutContext Unpacked(const std::vector<int64_t>& packed);

// Means over each document's rows, [T, D] → [B, D], wide.
at::Tensor DocumentMeans(const at::Tensor& x_TD, const std::vector<int64_t>& lengths);

// Computes a layer whose weight and bias are masters that are trained: products are taken in x's
// dtype (the master is cast, as autocast does), the gradients are the masters' dtype.
class TrainedLinear : public model::LinearOperation {
 public:
  at::Tensor Forward(const model::Linear& layer, const at::Tensor& x_TI) override;
};

}  // namespace anamnesis::encoder
