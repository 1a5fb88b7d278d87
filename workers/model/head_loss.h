// SPDX-License-Identifier: Apache-2.0
// The head's matrix product fused with the cross-entropy, in chunks of rows, so that logits of a
// whole batch never exist.
#pragma once

#include <ATen/ATen.h>

namespace anamnesis::model {

inline constexpr int64_t kHeadChunkRows = 512;

// Σ_i −log softmax(h_i Wᵀ)[label_i] over N rows, as a 0-dim fp64 tensor. hidden [N, D] and weight
// [V, D] may require gradients, as may bias [V] (undefined: none); weight and bias may be wider
// than hidden (fp32 masters of a bf16 model): the product is taken in hidden's dtype and their
// gradients are summed in their dtype. `softcap` > 0 caps the logits (activations.h). Cap and
// softmax are fp32 (fp64 for fp64). Gradients are made chunk by chunk in the forward pass, unless
// grad mode is off; those of fp16 logits are held times 256, so that small ones are not lost before
// the incoming gradient (with its loss scale) is known. Sums have a fixed order: the bits do not
// depend on the number of threads.
at::Tensor HeadLossSum(const at::Tensor& hidden_ND, const at::Tensor& weight_VD,
                       const at::Tensor& labels_N, const at::Tensor& bias_V = {},
                       double softcap = 0);

}  // namespace anamnesis::model
