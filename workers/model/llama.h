// SPDX-License-Identifier: Apache-2.0
// The Llama decoder (Llama 1 to 3.x) with a causal language-model head, of plain LibTorch ops on
// packed sequences. Single device; no adapters, ranks or logging here. Torch's exceptions fly.
// Shapes: T ids of the batch, D hidden, H heads, K key/value heads, E head dim, V vocabulary.
// The arithmetic follows HF's modeling_llama.py; norms and rotary angles are computed in fp32 (in
// fp64 when the model's dtype is fp64). Results do not depend on the number of threads.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/model/config.h"
#include "workers/model/linear.h"
#include "workers/model/packed_batch.h"

namespace anamnesis::model {

struct LlamaLayer {
  at::Tensor input_norm;           // [D]
  at::Tensor post_attention_norm;  // [D]
  Linear q_proj, k_proj, v_proj, o_proj;
  Linear gate_proj, up_proj, down_proj;
};

// Thread-compatible. All weights are frozen (requires_grad false) unless a caller replaces
// `embedding` or `lm_head().weight` with tensors that require gradients.
class Llama {
 public:
  // Reads config.json and weights; stored fp32, bf16 and fp16 are converted to `dtype` (kFloat,
  // kBFloat16 or kDouble). Errors of config.h and weight_files.h.
  static StatusOr<std::unique_ptr<Llama>> Load(const std::string& directory, at::ScalarType dtype,
                                               at::Device device = at::kCPU);

  const ModelConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }

  // Hidden states after the final norm, [T, D].
  at::Tensor Hidden(const PackedBatch& batch) const;
  // Logits of every position, [T, V] in the model's dtype. For tests and small inputs.
  at::Tensor Logits(const PackedBatch& batch) const;
  // Sum over the labelled positions of −log p(label), a 0-dim fp64 tensor on the graph. Logits
  // exist for at most kHeadChunkRows rows at a time (head_loss.h).
  at::Tensor LossSum(const PackedBatch& batch) const;

  // The linear layers in model order, lm_head last; Linear::ordinal is the index.
  std::vector<Linear*> linears();
  Linear& lm_head() { return lm_head_; }
  // [V, D]. May be replaced by a trainable tensor of a wider dtype; rows are cast after the lookup.
  at::Tensor& embedding() { return embedding_; }

 private:
  Llama() = default;
  // Puts a checkpoint's tensor ("model.layers.3.mlp.up_proj.weight") in its place.
  void Assign(const std::string& name, const at::Tensor& tensor);
  at::Tensor Layer(const LlamaLayer& layer, const at::Tensor& hidden_TD, const at::Tensor& cos_TE,
                   const at::Tensor& sin_TE, const std::vector<int64_t>& segment_lengths) const;
  at::Tensor Attention(const LlamaLayer& layer, const at::Tensor& x_TD, const at::Tensor& cos_TE,
                       const at::Tensor& sin_TE, const std::vector<int64_t>& segment_lengths) const;

  ModelConfig config_;
  at::ScalarType dtype_ = at::kFloat;
  at::Device device_ = at::kCPU;
  at::Tensor embedding_;  // [V, D]
  at::Tensor inv_freq_;   // [E/2]
  std::vector<LlamaLayer> layers_;
  at::Tensor norm_;  // [D]
  Linear lm_head_;   // [V, D]
};

}  // namespace anamnesis::model
