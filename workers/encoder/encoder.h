// SPDX-License-Identifier: Apache-2.0
// One BERT-style encoder with a sequence-classification head, configured as bert, roberta,
// distilbert, electra or modernbert, of plain LibTorch ops on packed documents. Single device; no
// adapters, ranks or files here. Torch's exceptions fly. The arithmetic follows transformers 5.23
// under autocast: products in the compute dtype, everything between them fp32 (fp64 in an fp64
// model). Results do not depend on the number of threads.
// Shapes: T ids of the batch, B documents, D hidden, H heads, E head dim, C classes.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <string>
#include <vector>

#include "workers/adapter/dropout.h"
#include "workers/encoder/batch.h"
#include "workers/encoder/config.h"
#include "workers/encoder/operations.h"
#include "workers/model/linear.h"

namespace anamnesis::encoder {

struct EncoderLayer {
  model::Linear query, key, value;  // all but modernbert
  model::Linear qkv;                // modernbert: query rows, then key, then value
  model::Linear attention_out, up, down;
  Norm attention_norm, output_norm;
  bool is_local = false;
};

// Thread-compatible. The tensors are the caller's: masters that are trained, or frozen weights.
class Encoder {
 public:
  // `tensors` holds every name of EncoderTensors(config). Norms and embeddings are wide; a linear
  // layer without an operation has its weights in `compute` (kFloat, kBFloat16, kHalf, kDouble).
  Encoder(EncoderConfig config, const std::map<std::string, at::Tensor>& tensors,
          at::ScalarType compute);
  Encoder(const Encoder&) = delete;  // linears() points into it
  Encoder& operator=(const Encoder&) = delete;

  const EncoderConfig& config() const { return config_; }
  at::ScalarType compute() const { return compute_; }

  // Hidden states of every token after the last layer (and final norm), [T, D] wide.
  // `dropout.rows` has one row for each document when training.
  at::Tensor Hidden(const EncoderBatch& batch, const adapter::DropoutContext& dropout) const;
  // [B, C] in the compute dtype.
  at::Tensor Logits(const EncoderBatch& batch, const adapter::DropoutContext& dropout) const;

  // Whether a layer keeps its input alone and is computed again in the backward pass
  // (workers/model/recompute.h): the same bits, less memory, more time. Whatever the operations
  // borrow stays unchanged from a forward pass to its backward pass.
  void CheckpointLayers(bool checkpoint) { checkpoint_layers_ = checkpoint; }

  // The encoder's linear layers in model order, then the head's; Linear::ordinal is the index.
  std::vector<model::Linear*> linears();

 private:
  at::Tensor Embedded(const EncoderBatch& batch, const adapter::DropoutContext& dropout) const;
  at::Tensor Layers(at::Tensor hidden_TD, const EncoderBatch& batch,
                    const adapter::DropoutContext& dropout) const;
  at::Tensor Layer(size_t index, const at::Tensor& hidden_TD, const EncoderBatch& batch,
                   const adapter::DropoutContext& dropout) const;
  at::Tensor ModernLayer(size_t index, const at::Tensor& hidden_TD, const EncoderBatch& batch,
                         const adapter::DropoutContext& dropout) const;
  // Casts x to the compute dtype and applies the layer.
  at::Tensor Apply(const model::Linear& linear, const at::Tensor& x) const;

  EncoderConfig config_;
  at::ScalarType compute_;
  at::ScalarType wide_;
  at::Tensor word_, position_, token_type_;
  Norm embedding_norm_, final_norm_, head_norm_;
  model::Linear projection_, head_dense_, classifier_;
  at::Tensor global_inv_freq_, local_inv_freq_;  // [E/2], modernbert
  std::vector<EncoderLayer> layers_;
  bool checkpoint_layers_ = false;
};

}  // namespace anamnesis::encoder
