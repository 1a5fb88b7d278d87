// SPDX-License-Identifier: Apache-2.0
// The decoder of every family (family.h) with a causal language-model head, of plain LibTorch ops
// on packed sequences. Single device; no adapters, ranks or logging here. Torch's exceptions fly.
// Shapes: T ids of the batch, D hidden, V vocabulary.
// The arithmetic follows HF's modeling files; norms, rotary angles, soft caps and softmax are
// computed in fp32 (in fp64 when the model's dtype is fp64). Results do not depend on the number of
// threads.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/model/attention.h"
#include "workers/model/config.h"
#include "workers/model/hidden_dropout.h"
#include "workers/model/linear.h"
#include "workers/model/mlp.h"
#include "workers/model/norms.h"
#include "workers/model/packed_batch.h"
#include "workers/model/rope.h"

namespace anamnesis::model {

// Norms that a family lacks do not exist. A parallel block has the input norm alone.
struct DecoderLayer {
  Norm input_norm;
  Attention attention;
  Norm post_attention_norm;
  Norm pre_mlp_norm;
  Mlp mlp;
  Norm post_mlp_norm;
};

// Thread-compatible. All weights are frozen (requires_grad false) unless a caller replaces
// `embedding`, `lm_head().weight` or `lm_head().bias` with tensors that require gradients.
class Decoder {
 public:
  // Reads config.json and weights; stored fp32, bf16 and fp16 are converted to `dtype` (kFloat,
  // kBFloat16, kHalf or kDouble), tensor by tensor. Errors of config.h and weight_files.h.
  // kNf4: linear layers but the head are quantised from their stored values while loading, so that
  // no more than one dense one exists; the result does not depend on `dtype`. Those that the
  // directory holds quantised by bitsandbytes are kept so in any case, and then no other is
  // quantised. kInvalidArgument: a weight that is not finite. kUnimplemented: another quantisation
  // in the directory (bnb_config.h, bnb_layout.h), quantised layers on another device than the CPU.
  static StatusOr<std::unique_ptr<Decoder>> Load(const std::string& directory, at::ScalarType dtype,
                                                 at::Device device = at::kCPU,
                                                 Quantisation quantisation = Quantisation::kNone);

  const ModelConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }

  // Hidden states after the final norm, [T, D]. Positions are the batch's own.
  at::Tensor Hidden(const PackedBatch& batch) const;
  // Logits of every position, [T, V] in the model's dtype. For tests and small inputs.
  at::Tensor Logits(const PackedBatch& batch) const;
  // The logits of these hidden states, [N, D] → [N, V] in the model's dtype.
  at::Tensor HeadLogits(const at::Tensor& hidden_ND) const;
  // Sum over the labelled positions of −log p(label), a 0-dim fp64 tensor on the graph. Logits
  // exist for at most kHeadChunkRows rows at a time (head_loss.h).
  at::Tensor LossSum(const PackedBatch& batch) const;

  // The linear layers in model order (layout.h), lm_head last; Linear::ordinal is the index.
  std::vector<Linear*> linears();
  Linear& lm_head() { return lm_head_; }
  // [V, D]. May be replaced by a trainable tensor of a wider dtype; rows are cast after the lookup.
  at::Tensor& embedding() { return embedding_; }
  // The embedding's module path, "model.embed_tokens" in most families.
  const std::string& embedding_name() const { return embedding_name_; }
  // From now on applied at the sites of config().resid_pdrop and embd_pdrop.
  void InstallDropout(std::unique_ptr<HiddenDropout> dropout) { dropout_ = std::move(dropout); }
  // Whether a layer keeps its input alone and is computed again in the backward pass (recompute.h):
  // the same bits, less memory, more time. The decoder and whatever its operations borrow stay
  // unchanged from a forward pass to its backward pass.
  void CheckpointLayers(bool checkpoint) { checkpoint_layers_ = checkpoint; }

 private:
  friend class DecoderLoader;
  friend class CachedDecoder;
  // A layer's attention block on its normed input [T, D] → [T, D].
  using Attend = std::function<at::Tensor(const Attention& attention, const at::Tensor& x_TD)>;
  Decoder() = default;
  at::Tensor Embedded(const at::Tensor& ids_T) const;
  at::Tensor Layer(size_t index, const at::Tensor& hidden_TD, const Attend& attend) const;
  // Whether the layer turns its queries and keys by local_rope_.
  bool IsLocal(size_t index) const;
  bool HasOperation(const DecoderLayer& layer) const;
  at::Tensor Dropped(const at::Tensor& x_TD, int64_t site, double p) const;

  ModelConfig config_;
  at::ScalarType dtype_ = at::kFloat;
  at::Device device_ = at::kCPU;
  std::string embedding_name_;
  at::Tensor embedding_;  // [V, D]
  Rope rope_, local_rope_;
  std::vector<DecoderLayer> layers_;
  Norm final_norm_;
  Linear lm_head_;  // [V, D]
  std::unique_ptr<HiddenDropout> dropout_;
  bool checkpoint_layers_ = false;
};

}  // namespace anamnesis::model
