// SPDX-License-Identifier: Apache-2.0
// Causal self-attention on packed sequences, of plain LibTorch ops.
// Shapes: T ids of the batch, L ids of a segment, D hidden, H query heads, K key and value heads
// (H a multiple of K), E head dim.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <vector>

#include "workers/model/linear.h"
#include "workers/model/norms.h"
#include "workers/model/rope.h"

namespace anamnesis::model {

struct AttentionShape {
  int64_t num_heads = 1;
  int64_t num_key_value_heads = 1;
  int64_t head_dim = 1;
  double scale = 1;    // multiplies the scores
  double softcap = 0;  // scores become softcap · tanh(score / softcap); 0: none
  int64_t window = 0;  // a query sees itself and the window − 1 keys before it; 0: all
};

// Masks of the sliding windows of one forward pass, by length and window.
class WindowMasks {
 public:
  // bool [L, L], true where query i sees key j: 0 ≤ i − j < window.
  const at::Tensor& Of(int64_t length, int64_t window, at::Device device);

 private:
  std::map<std::pair<int64_t, int64_t>, at::Tensor> masks_;
};

// softmax(scale · q kᵀ) v per segment: attention never crosses a segment. q [T, H, E], k and v
// [T, K, E] → [T, H · E]. With a soft cap the scores of one segment exist at once, in fp32.
at::Tensor SegmentAttention(const at::Tensor& q_THE, const at::Tensor& k_TKE,
                            const at::Tensor& v_TKE, const std::vector<int64_t>& segment_lengths,
                            const AttentionShape& shape, WindowMasks* masks);

// softmax(scale · q kᵀ) v of one sequence whose last N of S positions are the queries, each of
// which sees itself and what is before it (or the window's part of it). q [N, H, E], k and v [S, K,
// E] → [N, H · E]. With a soft cap the scores of all heads exist at once, in fp32.
at::Tensor LastQueriesAttention(const at::Tensor& q_NHE, const at::Tensor& k_SKE,
                                const at::Tensor& v_SKE, const AttentionShape& shape);

// What attention mixes: queries and keys rotated.
struct Projected {
  at::Tensor q_THE, k_TKE, v_TKE;
};

// A layer's attention block. Thread-compatible.
struct Attention {
  Projected Project(const at::Tensor& x_TD, const RopeAngles& angles) const;
  // x [T, D] → [T, D]; the residual is the caller's.
  at::Tensor Forward(const at::Tensor& x_TD, const RopeAngles& angles,
                     const std::vector<int64_t>& segment_lengths, WindowMasks* masks) const;

  AttentionShape shape;
  std::vector<Linear> in;  // q, k, v; or one fused qkv
  Norm q_norm, k_norm;     // over E, before the rotation; may be absent
  Linear out;
};

}  // namespace anamnesis::model
