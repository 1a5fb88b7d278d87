// SPDX-License-Identifier: Apache-2.0
// ModelConfig as config.json text that transformers 4 and 5 read.
#include "workers/model/config.h"
#include "workers/model/family.h"

namespace anamnesis::model {
namespace {

Json NumberOrNull(double value) { return value == 0 ? Json(nullptr) : Json(value); }

Json IdOrNull(int64_t id) { return id < 0 ? Json(nullptr) : Json(id); }

void AddRopes(const ModelConfig& c, Json* json) {
  const Json rope = ToJson(c.rope);
  (*json)["rope_theta"] = c.rope.theta;
  (*json)["rope_scaling"] = c.rope.type == "default" ? Json(nullptr) : rope;
  (*json)["rope_parameters"] = rope;
  if (c.rope.partial_rotary_factor != 1.0) {
    (*json)["partial_rotary_factor"] = c.rope.partial_rotary_factor;
  }
  if (c.model_type == "phi3" && c.rope.type == "longrope") {
    (*json)["original_max_position_embeddings"] = c.rope.original_max_position_embeddings;
  }
  if (c.flags.local_rope) {
    (*json)["rope_local_base_freq"] = c.local_rope.theta;
    (*json)["rope_parameters"] = {{"full_attention", rope},
                                  {"sliding_attention", ToJson(c.local_rope)}};
  }
}

void AddWindows(const ModelConfig& c, const Family& family, Json* json) {
  if (family.default_window < 0) return;
  (*json)["sliding_window"] = c.sliding_window > 0 ? Json(c.sliding_window) : Json(nullptr);
  if (family.reads_use_sliding_window) (*json)["use_sliding_window"] = c.sliding_window > 0;
  if (!family.reads_layer_types) return;
  Json types = Json::array();
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    types.push_back(c.WindowOf(i) > 0 ? "sliding_attention" : "full_attention");
  }
  (*json)["layer_types"] = types;
}

}  // namespace

Json ToJson(const ModelConfig& c) {
  const Family& family = *FindFamily(c.model_type);
  Json eos = c.eos_token_ids;
  if (c.eos_token_ids.size() == 1) eos = c.eos_token_ids.front();
  if (c.eos_token_ids.empty()) eos = nullptr;
  Json json = {{"architectures", {family.architecture}},
               {"model_type", c.model_type},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.hidden_size},
               {"intermediate_size", c.intermediate_size},
               {"num_hidden_layers", c.num_hidden_layers},
               {"num_attention_heads", c.num_attention_heads},
               {"num_key_value_heads", c.num_key_value_heads},
               {"head_dim", c.head_dim},
               {"max_position_embeddings", c.max_position_embeddings},
               {family.act_key, c.hidden_act},
               {"initializer_range", c.initializer_range},
               {"attention_dropout", 0.0},
               {"tie_word_embeddings", c.tie_word_embeddings},
               {"pad_token_id", IdOrNull(c.pad_token_id)},
               {"bos_token_id", IdOrNull(c.bos_token_id)},
               {"eos_token_id", eos},
               {"torch_dtype", c.dtype},
               {"dtype", c.dtype}};
  const bool layer_norm = c.flags.norm == NormKind::kLayerNorm;
  json[layer_norm ? "layer_norm_eps" : "rms_norm_eps"] = c.norm_eps;
  if (family.reads_attention_bias) json["attention_bias"] = c.qkv_bias;
  if (family.reads_mlp_bias) json["mlp_bias"] = c.mlp_bias;
  if (c.model_type == "phi") json["qk_layernorm"] = c.flags.qk_norm;
  if (family.reads_dropouts) json["resid_pdrop"] = c.resid_pdrop;
  if (family.reads_dropouts) json["embd_pdrop"] = c.embd_pdrop;
  if (family.reads_softcaps) {
    json["query_pre_attn_scalar"] = c.query_pre_attn_scalar;
    json["attn_logit_softcapping"] = NumberOrNull(c.attn_logit_softcapping);
    json["final_logit_softcapping"] = NumberOrNull(c.final_logit_softcapping);
  }
  AddWindows(c, family, &json);
  AddRopes(c, &json);
  if (!c.multimodal) return json;
  Json nested = {{"architectures", {"Gemma3ForConditionalGeneration"}}, {"model_type", "gemma3"}};
  for (const char* key : {"tie_word_embeddings", "pad_token_id", "bos_token_id", "eos_token_id",
                          "torch_dtype", "dtype"}) {
    nested[key] = json[key];
  }
  nested["text_config"] = json;
  return nested;
}

}  // namespace anamnesis::model
