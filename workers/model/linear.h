// SPDX-License-Identifier: Apache-2.0
// A linear layer with a seam: an operation may be installed that computes the layer in another way
// (an adapter does). The model knows nothing of what is installed.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>

#include "workers/model/frozen_weight.h"

namespace anamnesis::model {

class Linear;

// Computes a layer's output in place of x Wᵀ + b. Owned by the layer.
class LinearOperation {
 public:
  virtual ~LinearOperation() = default;
  // x [T, in] → [T, out], both in the model's dtype.
  virtual at::Tensor Forward(const Linear& layer, const at::Tensor& x_TI) = 0;
};

// y = x Wᵀ + b. Thread-compatible.
class Linear {
 public:
  at::Tensor Forward(const at::Tensor& x_TI) const {
    if (operation_) return operation_->Forward(*this, x_TI);
    return packed ? FrozenLinear(x_TI, packed, bias) : at::linear(x_TI, weight, bias);
  }
  void Install(std::unique_ptr<LinearOperation> operation) { operation_ = std::move(operation); }
  bool has_operation() const { return operation_ != nullptr; }

  int64_t in_features() const { return packed ? packed->in_features() : weight.size(1); }
  int64_t out_features() const { return packed ? packed->out_features() : weight.size(0); }

  std::string name;        // HF module path: "model.layers.0.self_attn.q_proj"
  int64_t ordinal = 0;     // position among the model's linear layers: a stable module number
  at::Tensor weight;       // [out, in]; undefined where `packed` is set
  FrozenWeightPtr packed;  // the weight in packed form, or null
  c10::optional<at::Tensor> bias;  // [out] or absent

 private:
  std::unique_ptr<LinearOperation> operation_;
};

}  // namespace anamnesis::model
