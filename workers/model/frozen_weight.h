// SPDX-License-Identifier: Apache-2.0
// A linear layer's weight that is frozen and held in another form than a dense tensor (NF4). It is
// decoded for each product, forward and backward, and the dense copy is dropped right after it: one
// layer's dense weight lives at a time.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <string>

#include "common/base/status.h"
#include "workers/quant/nf4.h"

namespace anamnesis::model {

// Immutable, so thread-safe. Counted, because an autograd graph may outlive the layer.
class FrozenWeight : public torch::CustomClassHolder {
 public:
  virtual int64_t in_features() const = 0;
  virtual int64_t out_features() const = 0;
  // A fresh W [out, in] in `dtype`, to be dropped right after its product. The bits do not depend
  // on the number of threads.
  virtual at::Tensor Dense(at::ScalarType dtype) const = 0;
  // Of main memory that the weight holds.
  virtual int64_t bytes() const = 0;
};

// How a model's linear layers, but for its head, are held.
enum class Quantisation { kNone, kNf4 };

using FrozenWeightPtr = c10::intrusive_ptr<FrozenWeight>;

// The values of an NF4 tensor (workers/quant/nf4.h), rounded once from fp32 to the wanted dtype.
class Nf4Weight : public FrozenWeight {
 public:
  Nf4Weight(quant::Nf4Data data, int64_t out_features, int64_t in_features);
  // Quantises a dense CPU tensor [out, in] of fp32, bf16 or fp16. kInvalidArgument: NaN or
  // infinity. Besides the result it needs a few kilobytes.
  static StatusOr<FrozenWeightPtr> Quantise(const at::Tensor& weight_OI);

  int64_t in_features() const override { return in_features_; }
  int64_t out_features() const override { return out_features_; }
  at::Tensor Dense(at::ScalarType dtype) const override;
  int64_t bytes() const override { return data_.bytes(); }
  const quant::Nf4Data& data() const { return data_; }

 private:
  quant::Nf4Data data_;
  int64_t out_features_;
  int64_t in_features_;
};

// x Wᵀ + b, [T, in] → [T, out], in x's dtype. The graph keeps the packed weight alone, and no
// gradient of weight or bias is formed: dx = dy W, W decoded again.
at::Tensor FrozenLinear(const at::Tensor& x_TI, const FrozenWeightPtr& weight,
                        const c10::optional<at::Tensor>& bias_O);

}  // namespace anamnesis::model
