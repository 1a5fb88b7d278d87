// SPDX-License-Identifier: Apache-2.0
// ModelConfig: the shape of a decoder as HF's config.json states it. An absent key means the HF
// class's default, not zero. Torch-free. Only model_type llama is built; anything else is refused
// with the supported list.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"

namespace anamnesis::model {

// Rotary position embedding (Su et al. 2021); `linear` divides every frequency by `factor`,
// `llama3` does so for long wavelengths and blends in between (HF modeling_rope_utils).
struct RopeConfig {
  std::string type = "default";  // default | linear | llama3
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_position_embeddings = 0;

  bool operator==(const RopeConfig&) const = default;
};

struct ModelConfig {
  std::string model_type = "llama";
  int64_t vocab_size = 32000;
  int64_t hidden_size = 4096;
  int64_t intermediate_size = 11008;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;
  int64_t head_dim = 128;  // may differ from hidden_size / num_attention_heads
  int64_t max_position_embeddings = 2048;
  std::string hidden_act = "silu";
  double initializer_range = 0.02;
  double rms_norm_eps = 1e-6;
  bool attention_bias = false;  // on q, k, v and o
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  RopeConfig rope;
  int64_t pad_token_id = -1;                 // -1: none
  int64_t bos_token_id = 1;                  // -1: none
  std::vector<int64_t> eos_token_ids = {2};  // config.json holds a number, a list or null
  std::string dtype = "float32";             // of the stored weights: float32 | bfloat16 | float16

  bool operator==(const ModelConfig&) const = default;
};

// Reads config.json. kInvalidArgument: unreadable, wrong type or range (file and key named).
// kUnimplemented: a model_type, rope_type, hidden_act or option that is not built yet.
StatusOr<ModelConfig> ModelConfigFromJson(const Json& json, const std::string& source);
StatusOr<ModelConfig> ReadModelConfig(const std::string& directory);

// What transformers 4 and 5 both read: rope_theta + rope_scaling and rope_parameters, torch_dtype
// and dtype.
Json ToJson(const ModelConfig& config);

}  // namespace anamnesis::model
