// SPDX-License-Identifier: Apache-2.0
// Bidirectional softmax attention within each document of a flat batch (Vaswani et al. 2017, eq.
// 1).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "workers/adapter/dropout.h"

namespace anamnesis::encoder {

struct AttentionOptions {
  int64_t window = 0;  // 0: every key of the document; else key j is seen by i iff |i − j| ≤ window
  double dropout = 0;  // of the attention probabilities
  int64_t layer = 0;   // keys the masks
};

// The masks' module number; the encoder's other masks and an adapter's stay below 2^31.
int64_t AttentionModule(int64_t layer, int64_t head);

// q, k and v [T, H, E] of one dtype → [T, H · E]; scores are scaled by 1/√E. The probability of key
// j for query i is element i · L + j of its row of L tokens, of the module of (layer, head). With
// dropout the probabilities are computed again in the backward pass: nothing of size L² is kept.
at::Tensor Attention(const at::Tensor& q_THE, const at::Tensor& k_THE, const at::Tensor& v_THE,
                     const std::vector<int64_t>& lengths, const AttentionOptions& options,
                     const adapter::DropoutContext& context);

}  // namespace anamnesis::encoder
