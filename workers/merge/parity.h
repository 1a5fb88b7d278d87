// SPDX-License-Identifier: Apache-2.0
// The logits on which a merged model is compared with base and adapter.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "workers/merge/merge.h"
#include "workers/model/config.h"
#include "workers/model/packed_batch.h"

namespace anamnesis::merge {

// Documents of 64, 33 and 7 ids, drawn by Philox from a fixed seed: the same for every model of a
// vocabulary.
class ProbeBatch {
 public:
  explicit ProbeBatch(const model::ModelConfig& config);
  const model::PackedBatch& batch() const { return batch_; }

 private:
  std::vector<int32_t> ids_, lengths_;
  model::PackedBatch batch_;
};

// In which logits are computed: the base's dtype, fp32 for fp16 (slow on CPUs).
at::ScalarType ComputeDtype(const model::ModelConfig& config);

// Of logits [T, V] of base and adapter, and of the merged model. Tolerances, of the largest logit:
// fp32 weights 1e-4, fp16 0.02, bf16 0.1 (two roundings of every product and one of every merged
// weight, through all layers).
Parity Compare(const at::Tensor& before_TV, const at::Tensor& after_TV,
               const model::ModelConfig& config);

// kInvalidArgument says by how much they differ, or that they are not finite.
Status CheckParity(const Parity& parity);

}  // namespace anamnesis::merge
