// SPDX-License-Identifier: Apache-2.0
// LoRA on a frozen linear layer (Hu et al. 2021, eq. 3 with its α/r scale):
//   h = W x + s · B A dropout(x),  s = α/r, or α/√r for rank-stabilised LoRA (Kalajdzievski 2023).
// A [r, in] and B [out, r] are fp32 masters; products are taken in the layer's dtype.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "workers/adapter/dropout.h"
#include "workers/model/linear.h"

namespace anamnesis::adapter {

// One layer's adapter. The tensors are shared with TrainableModel's parameter list.
struct LoraWeights {
  at::Tensor a_RI;  // fp32 master [r, in], a leaf that requires gradients
  at::Tensor b_OR;  // fp32 master [out, r], likewise
  double scale = 1;
  double dropout = 0;
};

// x Wᵀ + b + s · (dropout(x) Aᵀ) Bᵀ with the layer's W and b, and a backward pass that forms no
// gradient of W, one of b where b is a master that requires it (lora.bias), and keeps no dropped
// copy of x: dBᵀ = mm((s·u)ᵀ, dy), the form whose bits do not depend on the number of threads
// (feasibility.md P1), then transposed. A packed W is decoded for each of the two passes and not
// kept between them.
at::Tensor LoraForward(const at::Tensor& x_TI, const model::Linear& layer, const LoraWeights& lora,
                       const DropoutContext& context);

// The operation installed in a model's Linear. `context` is borrowed: the owner sets it before each
// forward pass and keeps it unchanged until the backward pass has run.
class LoraLinear : public model::LinearOperation {
 public:
  LoraLinear(LoraWeights lora, const DropoutContext& context)
      : lora_(std::move(lora)), context_(context) {}
  at::Tensor Forward(const model::Linear& layer, const at::Tensor& x_TI) override;

  const LoraWeights& weights() const { return lora_; }

 private:
  LoraWeights lora_;
  const DropoutContext& context_;
};

}  // namespace anamnesis::adapter
