// SPDX-License-Identifier: Apache-2.0
// A decoder's config.json of any bytes: read or refused, and what is read is written with the same
// meaning and has a list of tensors.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/model/config.h"
#include "workers/model/layout.h"

namespace {

using anamnesis::model::ModelConfig;

anamnesis::StatusOr<ModelConfig> ConfigOf(std::string_view text) {
  ANAM_ASSIGN_OR_RETURN(const anamnesis::Json json, anamnesis::ParseJson(text, "fuzz"));
  return anamnesis::model::ModelConfigFromJson(json, "fuzz");
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {
      R"({"model_type": "llama", "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 2,
          "num_key_value_heads": 2, "intermediate_size": 40, "vocab_size": 99, "rope_theta": 1e4,
          "rope_scaling": {"type": "linear", "factor": 2.0}})",
      R"({"model_type": "mistral", "num_hidden_layers": 1, "sliding_window": 16, "head_dim": 10})",
      R"({"model_type": "phi", "num_hidden_layers": 1, "partial_rotary_factor": 0.5})",
      R"({"model_type": "phi3", "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16,
          "original_max_position_embeddings": 64, "max_position_embeddings": 128, "rope_scaling":
          {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 3, 4]}})",
      R"({"model_type": "gemma2", "num_hidden_layers": 2, "attn_logit_softcapping": 50.0,
          "query_pre_attn_scalar": 24, "layer_types": ["sliding_attention", "full_attention"]})",
      R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 2,
          "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "sliding_window_pattern": 6}})",
      R"({"model_type": "qwen3", "num_hidden_layers": 1, "eos_token_id": [1, 2], "use_sliding_window":
          false, "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6,
          "original_max_position_embeddings": 32}})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = ConfigOf(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!config.ok()) {
    const bool expected = config.status().code() == absl::StatusCode::kInvalidArgument ||
                          config.status().code() == absl::StatusCode::kUnimplemented;
    return expected ? 0 : (__builtin_trap(), 0);
  }
  if (config->num_hidden_layers > 64) return 0;
  const auto tensors = anamnesis::model::ExpectedTensors(*config);
  for (const auto& tensor : tensors) {
    for (const int64_t extent : tensor.shape) {
      if (extent < 1) __builtin_trap();
    }
  }
  const auto again = ConfigOf(anamnesis::model::ToJson(*config).dump());
  if (!again.ok() || !(*again == *config)) __builtin_trap();
  return 0;
}
