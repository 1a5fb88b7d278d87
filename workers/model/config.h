// SPDX-License-Identifier: Apache-2.0
// ModelConfig: the shape of a decoder as HF's config.json states it. An absent key means the HF
// class's default, not zero. Torch-free. The families and their flags are in family.h; anything
// else is refused with the supported list. docs/families.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"
#include "workers/model/rope_config.h"

namespace anamnesis::model {

enum class NormKind {
  kRms,         // w · x̂
  kRmsPlusOne,  // (1 + w) · x̂, multiplied before the cast down
  kLayerNorm,   // w · (x − mean) / σ + b
};

// Where families differ in structure; the decoder is built from these alone.
struct FamilyFlags {
  NormKind norm = NormKind::kRms;
  bool parallel_block = false;     // attention and MLP read one norm, both are added at once
  bool sandwich_norms = false;     // norms behind attention and MLP as well
  bool fused_projections = false;  // qkv_proj and gate_up_proj
  bool gated_mlp = true;           // act(gate) · up; else fc2(act(fc1))
  bool qk_norm = false;            // norms of every query and key head
  bool scaled_embedding = false;   // embeddings times √hidden_size
  bool local_rope = false;         // sliding layers have a rope of their own

  bool operator==(const FamilyFlags&) const = default;
};

struct ModelConfig {
  std::string model_type = "llama";  // of the text model
  bool multimodal = false;           // config.json nests the text model under text_config
  FamilyFlags flags;
  int64_t vocab_size = 32000;
  int64_t hidden_size = 4096;
  int64_t intermediate_size = 11008;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;
  int64_t head_dim = 128;  // may differ from hidden_size / num_attention_heads
  int64_t max_position_embeddings = 2048;
  std::string hidden_act = "silu";  // silu | gelu | gelu_new | gelu_pytorch_tanh | relu
  double initializer_range = 0.02;
  double norm_eps = 1e-6;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool head_bias = false;
  bool tie_word_embeddings = false;
  double query_pre_attn_scalar = 0;    // scores are divided by its square root; 0: head_dim
  double attn_logit_softcapping = 0;   // scores become c · tanh(score / c); 0: none
  double final_logit_softcapping = 0;  // likewise the logits
  int64_t sliding_window = 0;          // a query sees the last so many keys; 0: all
  std::vector<bool> sliding_layers;    // by layer; empty exactly when sliding_window is 0
  double resid_pdrop = 0;              // dropout on what attention and MLP add (training only)
  double embd_pdrop = 0;               // dropout on the embeddings (training only)
  RopeConfig rope;
  RopeConfig local_rope;                     // of sliding layers, where flags.local_rope
  int64_t pad_token_id = -1;                 // -1: none
  int64_t bos_token_id = 1;                  // -1: none
  std::vector<int64_t> eos_token_ids = {2};  // config.json holds a number, a list or null
  std::string dtype = "float32";             // of the stored weights: float32 | bfloat16 | float16

  // The sliding window of a layer, 0 where it sees everything before it.
  int64_t WindowOf(int64_t layer) const {
    const size_t index = static_cast<size_t>(layer);
    return index < sliding_layers.size() && sliding_layers[index] ? sliding_window : 0;
  }
  const RopeConfig& RopeOf(int64_t layer) const {
    return flags.local_rope && WindowOf(layer) > 0 ? local_rope : rope;
  }

  bool operator==(const ModelConfig&) const = default;
};

// Reads config.json. kInvalidArgument: unreadable, wrong type or range (file and key named).
// kUnimplemented: a model_type, rope_type, hidden_act or option that is not built.
StatusOr<ModelConfig> ModelConfigFromJson(const Json& json, const std::string& source);
StatusOr<ModelConfig> ReadModelConfig(const std::string& directory);

// What transformers 4 and 5 both read: rope_theta + rope_scaling and rope_parameters, torch_dtype
// and dtype.
Json ToJson(const ModelConfig& config);

}  // namespace anamnesis::model
