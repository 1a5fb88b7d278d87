// SPDX-License-Identifier: Apache-2.0
#include "workers/model/layout.h"

#include <string_view>

#include "common/base/status.h"

namespace anamnesis::model {
namespace {

// The text model inside a multimodal Gemma 3: in HF's modules, and in published checkpoints.
constexpr std::string_view kNestedModule = "model.language_model.";
constexpr std::string_view kNestedStored = "language_model.model.";

std::string ModelPrefix(const ModelConfig& c) {
  return c.multimodal ? std::string(kNestedModule) : "model.";
}

LayerLayout LayerOf(const ModelConfig& c, int64_t index) {
  const FamilyFlags& flags = c.flags;
  const bool phi = c.model_type == "phi";
  const std::string layer = Cat(ModelPrefix(c), "layers.", index, ".");
  const std::string attention = layer + "self_attn.", mlp = layer + "mlp.";
  const int64_t d = c.hidden_size, f = c.intermediate_size;
  const int64_t queries = c.num_attention_heads * c.head_dim;
  const int64_t keys = c.num_key_value_heads * c.head_dim;
  const auto norm = [&](const char* name, int64_t size) {
    return NormLayout{layer + name, size, flags.norm == NormKind::kLayerNorm};
  };
  LayerLayout out;
  out.input_norm = norm("input_layernorm", d);
  if (flags.fused_projections) {
    out.attention_in = {{attention + "qkv_proj", queries + 2 * keys, d, c.qkv_bias}};
    out.mlp_in = {{mlp + "gate_up_proj", 2 * f, d, c.mlp_bias}};
  } else {
    out.attention_in = {{attention + "q_proj", queries, d, c.qkv_bias},
                        {attention + "k_proj", keys, d, c.qkv_bias},
                        {attention + "v_proj", keys, d, c.qkv_bias}};
    if (flags.gated_mlp) {
      out.mlp_in = {{mlp + "gate_proj", f, d, c.mlp_bias}, {mlp + "up_proj", f, d, c.mlp_bias}};
    } else {
      out.mlp_in = {{mlp + "fc1", f, d, c.mlp_bias}};
    }
  }
  out.attention_out = {attention + (phi ? "dense" : "o_proj"), d, queries, c.o_bias};
  out.mlp_out = {mlp + (flags.gated_mlp ? "down_proj" : "fc2"), d, f, c.mlp_bias};
  if (flags.qk_norm) {
    out.q_norm = norm(phi ? "self_attn.q_layernorm" : "self_attn.q_norm", c.head_dim);
    out.k_norm = norm(phi ? "self_attn.k_layernorm" : "self_attn.k_norm", c.head_dim);
  }
  if (flags.sandwich_norms) {
    out.post_attention_norm = norm("post_attention_layernorm", d);
    out.pre_mlp_norm = norm("pre_feedforward_layernorm", d);
    out.post_mlp_norm = norm("post_feedforward_layernorm", d);
  } else if (!flags.parallel_block) {
    out.pre_mlp_norm = norm("post_attention_layernorm", d);
  }
  return out;
}

// Calls the functions on every tensor-bearing part, in model order.
template <typename OnNorm, typename OnLinear>
void ForEachPart(const LayerLayout& layer, const OnNorm& on_norm, const OnLinear& on_linear) {
  on_norm(layer.input_norm);
  for (const LinearLayout& linear : layer.attention_in) on_linear(linear);
  on_norm(layer.q_norm);
  on_norm(layer.k_norm);
  on_linear(layer.attention_out);
  on_norm(layer.post_attention_norm);
  on_norm(layer.pre_mlp_norm);
  for (const LinearLayout& linear : layer.mlp_in) on_linear(linear);
  on_linear(layer.mlp_out);
  on_norm(layer.post_mlp_norm);
}

}  // namespace

DecoderLayout LayoutOf(const ModelConfig& c) {
  const bool phi = c.model_type == "phi";
  DecoderLayout out;
  out.embedding = ModelPrefix(c) + "embed_tokens";
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) out.layers.push_back(LayerOf(c, i));
  out.final_norm = {ModelPrefix(c) + (phi ? "final_layernorm" : "norm"), c.hidden_size,
                    c.flags.norm == NormKind::kLayerNorm};
  out.head = {"lm_head", c.vocab_size, c.hidden_size, c.head_bias};
  return out;
}

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& c) {
  const DecoderLayout layout = LayoutOf(c);
  std::vector<ExpectedTensor> out = {{layout.embedding + ".weight", {c.vocab_size, c.hidden_size}}};
  const auto on_norm = [&](const NormLayout& norm) {
    if (norm.module.empty()) return;
    out.push_back({norm.module + ".weight", {norm.size}});
    if (norm.bias) out.push_back({norm.module + ".bias", {norm.size}});
  };
  const auto on_linear = [&](const LinearLayout& linear) {
    out.push_back({linear.module + ".weight", {linear.out_features, linear.in_features}});
    if (linear.bias) out.push_back({linear.module + ".bias", {linear.out_features}});
  };
  for (const LayerLayout& layer : layout.layers) ForEachPart(layer, on_norm, on_linear);
  on_norm(layout.final_norm);
  if (!c.tie_word_embeddings) out.push_back({"lm_head.weight", {c.vocab_size, c.hidden_size}});
  if (layout.head.bias) out.push_back({"lm_head.bias", {c.vocab_size}});
  return out;
}

std::vector<std::string> LinearModules(const ModelConfig& config) {
  const DecoderLayout layout = LayoutOf(config);
  std::vector<std::string> out;
  for (const LayerLayout& layer : layout.layers) {
    ForEachPart(
        layer, [](const NormLayout&) {},
        [&](const LinearLayout& linear) { out.push_back(linear.module); });
  }
  out.push_back(layout.head.module);
  return out;
}

std::vector<std::string> SaveableModules(const ModelConfig& config) {
  return {ModelPrefix(config) + "embed_tokens", "lm_head"};
}

std::vector<std::string> StoredNames(const std::string& name) {
  std::vector<std::string> out = {name};
  if (name.starts_with(kNestedModule)) {
    out.push_back(std::string(kNestedStored) + name.substr(kNestedModule.size()));
  } else if (name.starts_with("lm_head.")) {
    out.push_back("language_model." + name);
  }
  return out;
}

bool IsIgnoredTensor(const std::string& name) {
  if (name.ends_with(".rotary_emb.inv_freq")) return true;
  for (const char* part : {"vision_tower.", "multi_modal_projector."}) {
    if (name.starts_with(part) || name.starts_with(std::string("model.") + part)) return true;
  }
  return false;
}

}  // namespace anamnesis::model
