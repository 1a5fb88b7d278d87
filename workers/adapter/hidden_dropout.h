// SPDX-License-Identifier: Apache-2.0
// The base model's own dropouts (resid_pdrop, embd_pdrop of config.json), as HF's Trainer applies
// them to a frozen base in training: by counter (dropout.h), so that no batching, rank or thread
// count changes a mask. Sites are modules above kHiddenDropoutModule, apart from the adapters'.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "workers/adapter/dropout.h"
#include "workers/model/hidden_dropout.h"

namespace anamnesis::adapter {

inline constexpr int64_t kHiddenDropoutModule = int64_t{1} << 30;

class CounterHiddenDropout : public model::HiddenDropout {
 public:
  // `context` is borrowed: the owner sets it before each forward pass.
  explicit CounterHiddenDropout(const DropoutContext& context) : context_(context) {}
  // x itself unless the context is training.
  at::Tensor Forward(const at::Tensor& x_TD, int64_t site, double p) const override;

 private:
  const DropoutContext& context_;
};

}  // namespace anamnesis::adapter
