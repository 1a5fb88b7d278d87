// SPDX-License-Identifier: Apache-2.0
// Where a decoder's tensors are: module paths as HF's classes (and with them PEFT's keys) name
// them, shapes, and the names in a checkpoint where those differ. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workers/model/config.h"

namespace anamnesis::model {

struct LinearLayout {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  int64_t out_features = 0;
  int64_t in_features = 0;
  bool bias = false;
};

struct NormLayout {
  std::string module;  // empty: the family has no such norm
  int64_t size = 0;
  bool bias = false;
};

struct LayerLayout {
  NormLayout input_norm;
  std::vector<LinearLayout> attention_in;  // q, k, v; or one fused qkv (rows q, then k, then v)
  NormLayout q_norm, k_norm;
  LinearLayout attention_out;
  NormLayout post_attention_norm;    // on the attention's output
  NormLayout pre_mlp_norm;           // absent in a parallel block
  std::vector<LinearLayout> mlp_in;  // gate, up; one fused gate_up (gate rows first); or fc1
  LinearLayout mlp_out;
  NormLayout post_mlp_norm;  // on the MLP's output
};

struct DecoderLayout {
  std::string embedding;  // module path; [vocab_size, hidden_size]
  std::vector<LayerLayout> layers;
  NormLayout final_norm;
  LinearLayout head;
};

DecoderLayout LayoutOf(const ModelConfig& config);

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  bool packed = false;  // a part of a quantised weight: its dtype is checked by bnb_layout.h
};

// Every tensor of a checkpoint of this config by its name in HF's modules, in model order; the
// head's weight only when it is not tied.
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);

// The linear layers in model order, the head last: what an adapter may change.
std::vector<std::string> LinearModules(const ModelConfig& config);

// The modules that can be trained whole: embedding and head.
std::vector<std::string> SaveableModules(const ModelConfig& config);

// Other names under which checkpoints hold the tensor `name`, best first (a multimodal Gemma 3 is
// stored as language_model.model.layers… and lives as model.language_model.layers…).
std::vector<std::string> StoredNames(const std::string& name);

// Tensors that a checkpoint may hold and no decoder reads: rotary buffers, a vision tower.
bool IsIgnoredTensor(const std::string& name);

}  // namespace anamnesis::model
