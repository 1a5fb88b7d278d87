// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021, section 3.4) with HF's scaled variants: linear,
// dynamic NTK, llama3, longrope (Ding et al. 2024) and yarn (Peng et al. 2023).
// Shapes: T ids of the batch, E head dim, R ≤ E rotated width.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "workers/model/rope_config.h"

namespace anamnesis::model {

struct RopeAngles {
  at::Tensor cos_TR;  // in the model's dtype
  at::Tensor sin_TR;
};

// Thread-compatible. Frequencies and angles are fp32 as HF's (fp64 for an fp64 model).
class Rope {
 public:
  Rope() = default;
  Rope(const RopeConfig& config, int64_t head_dim, int64_t max_position_embeddings,
       at::ScalarType dtype, at::Device device);

  // Angles of all positions. Where a type's frequencies depend on the length (dynamic; longrope's
  // choice of factors), each segment has those of its own length, its last position + 1: what HF
  // does for a document that is alone in its batch, whatever else is packed beside it.
  RopeAngles Angles(const at::Tensor& positions_T,
                    const std::vector<int64_t>& segment_lengths) const;

 private:
  // Inverse frequencies [R/2] for a sequence of this many positions.
  at::Tensor Frequencies(int64_t length) const;
  // Lengths with equal frequencies give equal numbers.
  int64_t LengthClass(int64_t length) const;

  RopeConfig config_;
  int64_t rotary_dim_ = 0;
  int64_t max_position_embeddings_ = 0;
  at::ScalarType dtype_ = at::kFloat;
  at::Device device_ = at::kCPU;
  at::Tensor fixed_;  // [R/2], where it does not depend on the length
};

// x [T, heads, E]: the first R of E are rotated (the first half of them is the real part, the
// second the imaginary one), the rest passes.
at::Tensor Rotate(const at::Tensor& x_THE, const RopeAngles& angles);

}  // namespace anamnesis::model
