// SPDX-License-Identifier: Apache-2.0
// Values: transformers 5.23, models/*/configuration_*.py.
#include "workers/model/family.h"

#include <array>

#include "common/base/check.h"

namespace anamnesis::model {
namespace {

void SetShape(ModelConfig* c, int64_t vocab, int64_t hidden, int64_t intermediate, int64_t layers,
              int64_t heads, int64_t key_heads, int64_t head_dim, int64_t positions) {
  c->vocab_size = vocab;
  c->hidden_size = hidden;
  c->intermediate_size = intermediate;
  c->num_hidden_layers = layers;
  c->num_attention_heads = heads;
  c->num_key_value_heads = key_heads;
  c->head_dim = head_dim;
  c->max_position_embeddings = positions;
}

void SetGemma(ModelConfig* c) {
  c->hidden_act = "gelu_pytorch_tanh";
  c->tie_word_embeddings = true;
  c->pad_token_id = 0;
  c->eos_token_ids = {1};
  c->bos_token_id = 2;
}

void SetQwen(ModelConfig* c) {
  SetShape(c, 151936, 4096, 22016, 32, 32, 32, 128, 32768);
  c->bos_token_id = -1;
  c->eos_token_ids.clear();
}

void SetMistral(ModelConfig* c) { SetShape(c, 32000, 4096, 14336, 32, 32, 8, 128, 131072); }

void SetPhi(ModelConfig* c) {
  SetShape(c, 51200, 2048, 8192, 24, 32, 32, 64, 2048);
  c->hidden_act = "gelu_new";
  c->norm_eps = 1e-5;
  c->qkv_bias = c->o_bias = c->mlp_bias = c->head_bias = true;
  c->rope.partial_rotary_factor = 0.5;
}

void SetPhi3(ModelConfig* c) {
  SetShape(c, 32064, 3072, 8192, 32, 32, 32, 96, 4096);
  c->norm_eps = 1e-5;
  c->eos_token_ids = {32000};
  c->pad_token_id = 32000;
}

void SetGemma1(ModelConfig* c) {
  SetGemma(c);
  SetShape(c, 256000, 3072, 24576, 28, 16, 16, 256, 8192);
}

void SetGemma2(ModelConfig* c) {
  SetGemma(c);
  SetShape(c, 256000, 2304, 9216, 26, 8, 4, 256, 8192);
  c->query_pre_attn_scalar = 256;
  c->attn_logit_softcapping = 50;
  c->final_logit_softcapping = 30;
}

void SetGemma3(ModelConfig* c) {
  SetGemma(c);
  SetShape(c, 262208, 2304, 9216, 26, 8, 4, 256, 131072);
  c->query_pre_attn_scalar = 256;
  c->rope.theta = 1e6;
}

void SetQwen2(ModelConfig* c) {
  SetQwen(c);
  c->qkv_bias = true;
}

const std::array<Family, 9>& Families() {
  static const std::array<Family, 9> families = {
      Family{.model_type = "llama",
             .architecture = "LlamaForCausalLM",
             .reads_attention_bias = true,
             .reads_mlp_bias = true,
             .set_defaults = [](ModelConfig*) {}},
      Family{.model_type = "mistral",
             .architecture = "MistralForCausalLM",
             .default_window = 4096,
             .set_defaults = SetMistral},
      Family{.model_type = "phi",
             .architecture = "PhiForCausalLM",
             .flags = {.norm = NormKind::kLayerNorm, .parallel_block = true, .gated_mlp = false},
             .reads_dropouts = true,
             .may_be_partial = true,
             .set_defaults = SetPhi},
      Family{.model_type = "phi3",
             .architecture = "Phi3ForCausalLM",
             .flags = {.fused_projections = true},
             .reads_dropouts = true,
             .may_be_partial = true,
             .default_window = 0,
             .set_defaults = SetPhi3},
      Family{.model_type = "gemma",
             .architecture = "GemmaForCausalLM",
             .flags = {.norm = NormKind::kRmsPlusOne, .scaled_embedding = true},
             .reads_attention_bias = true,
             .set_defaults = SetGemma1},
      Family{.model_type = "gemma2",
             .architecture = "Gemma2ForCausalLM",
             .flags = {.norm = NormKind::kRmsPlusOne,
                       .sandwich_norms = true,
                       .scaled_embedding = true},
             .act_key = "hidden_activation",
             .reads_attention_bias = true,
             .reads_layer_types = true,
             .reads_softcaps = true,
             .default_window = 4096,
             .set_defaults = SetGemma2},
      Family{.model_type = "gemma3_text",
             .architecture = "Gemma3ForCausalLM",
             .flags = {.norm = NormKind::kRmsPlusOne,
                       .sandwich_norms = true,
                       .qk_norm = true,
                       .scaled_embedding = true,
                       .local_rope = true},
             .act_key = "hidden_activation",
             .reads_attention_bias = true,
             .reads_layer_types = true,
             .reads_softcaps = true,
             .default_window = 4096,
             .set_defaults = SetGemma3},
      Family{.model_type = "qwen2",
             .architecture = "Qwen2ForCausalLM",
             .reads_layer_types = true,
             .reads_use_sliding_window = true,
             .default_window = 4096,
             .set_defaults = SetQwen2},
      Family{.model_type = "qwen3",
             .architecture = "Qwen3ForCausalLM",
             .flags = {.qk_norm = true},
             .reads_attention_bias = true,
             .reads_layer_types = true,
             .reads_use_sliding_window = true,
             .default_window = 4096,
             .set_defaults = SetQwen}};
  return families;
}

}  // namespace

const Family* FindFamily(std::string_view model_type) {
  for (const Family& family : Families()) {
    if (family.model_type == model_type) return &family;
  }
  return nullptr;
}

std::string SupportedFamilies() {
  std::string text;
  for (const Family& family : Families()) {
    if (!text.empty()) text += ", ";
    text += family.model_type;
    if (family.model_type == "gemma3_text") text += ", gemma3 (its text model)";
  }
  return text;
}

ModelConfig FamilyDefaults(std::string_view model_type) {
  const Family* family = FindFamily(model_type);
  ANAM_CHECK(family != nullptr);
  ModelConfig config;
  config.model_type = std::string(model_type);
  config.flags = family->flags;
  family->set_defaults(&config);
  return config;
}

}  // namespace anamnesis::model
