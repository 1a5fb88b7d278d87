// SPDX-License-Identifier: Apache-2.0
// An encoder's config.json of any bytes: read or refused, and what is read is written with the same
// meaning and has a list of tensors.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/encoder/config.h"
#include "workers/encoder/tensors.h"

namespace {

using anamnesis::encoder::EncoderConfig;

anamnesis::StatusOr<EncoderConfig> ConfigOf(std::string_view text) {
  ANAM_ASSIGN_OR_RETURN(const anamnesis::Json json, anamnesis::ParseJson(text, "fuzz"));
  return anamnesis::encoder::EncoderConfigFromJson(json, "fuzz");
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {
      R"({"model_type": "bert", "hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2,
          "id2label": {"0": "no", "1": "yes"}, "hidden_act": "gelu_new", "classifier_dropout": null})",
      R"({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1, "num_labels": 3})",
      R"({"model_type": "distilbert", "dim": 24, "n_heads": 2, "n_layers": 2, "hidden_dim": 40,
          "activation": "relu", "seq_classif_dropout": 0.25})",
      R"({"model_type": "electra", "embedding_size": 16, "num_hidden_layers": 1, "pruned_heads": {}})",
      R"({"model_type": "modernbert", "num_hidden_layers": 2, "pad_token_id": 0, "local_attention": 8,
          "layer_types": ["full_attention", "sliding_attention"], "classifier_pooling": "mean",
          "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e5}}})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto config = ConfigOf(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!config.ok()) {
    const bool expected = config.status().code() == absl::StatusCode::kInvalidArgument ||
                          config.status().code() == absl::StatusCode::kUnimplemented;
    return expected ? 0 : (__builtin_trap(), 0);
  }
  if (config->num_hidden_layers > 64 || config->num_labels > 1000 || config->num_labels < 2)
    return 0;
  if (!anamnesis::encoder::SetLabels(config->num_labels, {}, &*config).ok()) __builtin_trap();
  const auto tensors = anamnesis::encoder::EncoderTensors(*config);
  if (tensors.back().shape != std::vector<int64_t>{config->num_labels}) __builtin_trap();
  const std::string text = anamnesis::encoder::EncoderConfigText(*config);
  const auto again = ConfigOf(text);
  if (!again.ok() || again->num_labels != config->num_labels) __builtin_trap();
  if (anamnesis::encoder::EncoderTensors(*again).size() != tensors.size()) __builtin_trap();
  return 0;
}
