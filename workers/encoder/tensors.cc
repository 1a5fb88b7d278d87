// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/tensors.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "workers/model/tensor_text.h"

namespace anamnesis::encoder {
namespace {

EncoderNames BertNames(const EncoderConfig& c) {
  EncoderNames names;
  const bool electra = c.family == Family::kElectra;
  names.prefix = electra ? "electra." : c.family == Family::kRoberta ? "roberta." : "bert.";
  names.word = names.prefix + "embeddings.word_embeddings";
  names.position = names.prefix + "embeddings.position_embeddings";
  names.token_type = names.prefix + "embeddings.token_type_embeddings";
  names.embedding_norm = names.prefix + "embeddings.LayerNorm";
  if (electra && c.embedding_size != c.hidden_size) {
    names.projection = names.prefix + "embeddings_project";
  }
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = Cat(names.prefix, "encoder.layer.", i, ".");
    names.layers.push_back({.query = layer + "attention.self.query",
                            .key = layer + "attention.self.key",
                            .value = layer + "attention.self.value",
                            .qkv = "",
                            .attention_out = layer + "attention.output.dense",
                            .attention_norm = layer + "attention.output.LayerNorm",
                            .up = layer + "intermediate.dense",
                            .down = layer + "output.dense",
                            .output_norm = layer + "output.LayerNorm"});
  }
  const bool pooler = c.family == Family::kBert;
  names.head_dense = pooler ? "bert.pooler.dense" : "classifier.dense";
  names.classifier = pooler ? "classifier" : "classifier.out_proj";
  return names;
}

EncoderNames DistilBertNames(const EncoderConfig& c) {
  EncoderNames names;
  names.prefix = "distilbert.";
  names.word = "distilbert.embeddings.word_embeddings";
  names.position = "distilbert.embeddings.position_embeddings";
  names.embedding_norm = "distilbert.embeddings.LayerNorm";
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = Cat("distilbert.transformer.layer.", i, ".");
    names.layers.push_back({.query = layer + "attention.q_lin",
                            .key = layer + "attention.k_lin",
                            .value = layer + "attention.v_lin",
                            .qkv = "",
                            .attention_out = layer + "attention.out_lin",
                            .attention_norm = layer + "sa_layer_norm",
                            .up = layer + "ffn.lin1",
                            .down = layer + "ffn.lin2",
                            .output_norm = layer + "output_layer_norm"});
  }
  names.head_dense = "pre_classifier";
  names.classifier = "classifier";
  return names;
}

EncoderNames ModernBertNames(const EncoderConfig& c) {
  EncoderNames names;
  names.prefix = "model.";
  names.word = "model.embeddings.tok_embeddings";
  names.embedding_norm = "model.embeddings.norm";
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = Cat("model.layers.", i, ".");
    names.layers.push_back({.query = "",
                            .key = "",
                            .value = "",
                            .qkv = layer + "attn.Wqkv",
                            .attention_out = layer + "attn.Wo",
                            .attention_norm = i == 0 ? "" : layer + "attn_norm",
                            .up = layer + "mlp.Wi",
                            .down = layer + "mlp.Wo",
                            .output_norm = layer + "mlp_norm"});
  }
  names.final_norm = "model.final_norm";
  names.head_dense = "head.dense";
  names.head_norm = "head.norm";
  names.classifier = "classifier";
  return names;
}

// Collects the tensors of modules.
class TensorList {
 public:
  explicit TensorList(const EncoderConfig& config) : config_(config) {}

  void Embedding(const std::string& module, int64_t rows, int64_t columns) {
    if (!module.empty())
      Add(module + ".weight", {rows, columns}, ModuleKind::kEmbedding, Fill::kNormal);
  }
  void Linear(const std::string& module, int64_t rows, int64_t columns, bool bias) {
    if (module.empty()) return;
    Add(module + ".weight", {rows, columns}, ModuleKind::kLinear, Fill::kNormal);
    if (bias) Add(module + ".bias", {rows}, ModuleKind::kLinear, Fill::kZero);
  }
  void Norm(const std::string& module, int64_t size) {
    if (module.empty()) return;
    Add(module + ".weight", {size}, ModuleKind::kNorm, Fill::kOne);
    if (config_.norm_bias) Add(module + ".bias", {size}, ModuleKind::kNorm, Fill::kZero);
  }
  void StartHead(double spread) {
    in_head_ = true;
    spread_ = spread;
  }
  std::vector<EncoderTensor> Take() { return std::move(tensors_); }

 private:
  void Add(std::string name, std::vector<int64_t> shape, ModuleKind kind, Fill fill) {
    const bool decays = Decays(name);
    tensors_.push_back({std::move(name), std::move(shape), kind, fill,
                        in_head_ ? spread_ : config_.initializer_range, in_head_, decays});
  }

  const EncoderConfig& config_;
  bool in_head_ = false;
  double spread_ = 0;
  std::vector<EncoderTensor> tensors_;
};

bool StartsWithAny(const std::string& name, const std::vector<const char*>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); });
}

// Heads of other tasks, and buffers that old checkpoints carry.
bool HasNoUse(Family family, const std::string& name) {
  if (name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids") ||
      name.ends_with("inv_freq")) {
    return true;
  }
  switch (family) {
    case Family::kBert:
      return StartsWithAny(name, {"cls.", "qa_outputs."});
    case Family::kRoberta:
      return StartsWithAny(name, {"lm_head.", "roberta.pooler.", "qa_outputs."});
    case Family::kDistilBert:
      return StartsWithAny(
          name, {"vocab_transform.", "vocab_layer_norm.", "vocab_projector.", "qa_outputs."});
    case Family::kElectra:
      return StartsWithAny(name, {"discriminator_predictions.", "generator_predictions.",
                                  "generator_lm_head.", "qa_outputs."});
    case Family::kModernBert:
      return StartsWithAny(name, {"decoder.", "qa_outputs."});
  }
  return false;
}

std::string WithoutLegacyNames(std::string name) {
  for (const auto& [old_end, new_end] : {std::pair("LayerNorm.gamma", "LayerNorm.weight"),
                                         std::pair("LayerNorm.beta", "LayerNorm.bias")}) {
    const std::string end = old_end;
    if (name.ends_with(end)) return name.substr(0, name.size() - end.size()) + new_end;
  }
  return name;
}

bool IsLoadable(model::StoredType type) {
  return type == model::StoredType::kF32 || type == model::StoredType::kBF16 ||
         type == model::StoredType::kF16;
}

std::string ModuleOf(const std::string& name) { return name.substr(0, name.rfind('.')); }

// Modules instead of their tensors, to keep the line short; a buffer by its own name.
std::string ModuleList(const std::vector<std::string>& names) {
  std::vector<std::string> modules;
  for (const std::string& name : names) {
    const bool is_parameter = name.ends_with(".weight") || name.ends_with(".bias") ||
                              name.ends_with(".gamma") || name.ends_with(".beta");
    const std::string module = is_parameter ? ModuleOf(name) : name;
    if (modules.empty() || modules.back() != module) modules.push_back(module);
  }
  return model::NamesText(modules);
}

}  // namespace

EncoderNames NamesOf(const EncoderConfig& config) {
  if (config.family == Family::kDistilBert) return DistilBertNames(config);
  if (config.family == Family::kModernBert) return ModernBertNames(config);
  return BertNames(config);
}

bool Decays(const std::string& name) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  for (const char* word : {"bias", "layernorm", "rmsnorm"}) {
    if (lower.find(word) != std::string::npos) return false;
  }
  size_t start = 0;
  while (start <= lower.size()) {
    const size_t dot = std::min(lower.find('.', start), lower.size());
    const std::string part = lower.substr(start, dot - start);
    if (part == "norm" || part.ends_with("_norm")) return false;
    start = dot + 1;
  }
  return true;
}

std::vector<EncoderTensor> EncoderTensors(const EncoderConfig& c) {
  const EncoderNames names = NamesOf(c);
  TensorList list(c);
  list.Embedding(names.word, c.vocab_size, c.embedding_size);
  list.Embedding(names.position, c.max_position_embeddings, c.embedding_size);
  list.Embedding(names.token_type, c.type_vocab_size, c.embedding_size);
  list.Norm(names.embedding_norm, c.embedding_size);
  list.Linear(names.projection, c.hidden_size, c.embedding_size, true);
  const int64_t d = c.hidden_size, f = c.intermediate_size;
  for (const LayerNames& layer : names.layers) {
    if (c.IsModern()) list.Norm(layer.attention_norm, d);
    for (const std::string& module : {layer.query, layer.key, layer.value}) {
      list.Linear(module, d, d, true);
    }
    list.Linear(layer.qkv, 3 * d, d, c.attention_bias);
    list.Linear(layer.attention_out, d, d, c.attention_bias);
    if (!c.IsModern()) list.Norm(layer.attention_norm, d);
    if (c.IsModern()) list.Norm(layer.output_norm, d);
    list.Linear(layer.up, c.IsModern() ? 2 * f : f, d, c.mlp_bias);
    list.Linear(layer.down, d, f, c.mlp_bias);
    if (!c.IsModern()) list.Norm(layer.output_norm, d);
  }
  list.Norm(names.final_norm, d);
  // modernbert draws its head with spreads of its own (ModernBertPreTrainedModel._init_weights).
  const double layers = static_cast<double>(c.num_hidden_layers);
  list.StartHead(c.IsModern() ? c.initializer_range / std::sqrt(2.0 * layers)
                              : c.initializer_range);
  list.Linear(names.head_dense, d, d, c.classifier_bias);
  list.Norm(names.head_norm, d);
  if (c.IsModern()) list.StartHead(1.0 / std::sqrt(static_cast<double>(d)));
  list.Linear(names.classifier, c.num_labels, d, true);
  return list.Take();
}

StatusOr<WeightMatch> MatchWeights(const EncoderConfig& config,
                                   const std::vector<model::StoredTensor>& stored,
                                   const std::string& source) {
  const std::vector<EncoderTensor> tensors = EncoderTensors(config);
  const std::string prefix = NamesOf(config).prefix;
  std::map<std::string, const EncoderTensor*> known;
  for (const EncoderTensor& tensor : tensors) known[tensor.name] = &tensor;
  WeightMatch match;
  std::vector<std::string> missing, misshaped, extra, doubled;
  for (const model::StoredTensor& tensor : stored) {
    std::string name = WithoutLegacyNames(tensor.name);
    if (!known.contains(name) && known.contains(prefix + name)) name = prefix + name;
    const auto found = known.find(name);
    if (found == known.end()) {
      const bool no_use = HasNoUse(config.family, name) || HasNoUse(config.family, prefix + name);
      (no_use ? match.ignored : extra).push_back(tensor.name);
    } else if (!match.stored_name.emplace(name, tensor.name).second) {
      doubled.push_back(tensor.name);
    } else if (tensor.shape != found->second->shape) {
      misshaped.push_back(Cat(tensor.name, " ", model::ShapeText(tensor.shape), " for ",
                              model::ShapeText(found->second->shape)));
    } else if (!IsLoadable(tensor.type)) {
      misshaped.push_back(
          Cat(tensor.name, " ", model::StoredTypeName(tensor.type), " for F32/BF16/F16"));
    }
  }
  std::set<std::string> present;  // modules with at least one tensor
  for (const auto& [name, stored_name] : match.stored_name) present.insert(ModuleOf(name));
  for (const EncoderTensor& tensor : tensors) {
    if (match.stored_name.contains(tensor.name)) continue;
    const bool may_lack = tensor.is_head && !present.contains(ModuleOf(tensor.name));
    (may_lack ? match.initialised : missing).push_back(tensor.name);
  }
  if (!missing.empty() || !misshaped.empty() || !extra.empty() || !doubled.empty()) {
    std::string text = Cat(source, ": the weights do not fit config.json (",
                           FamilyName(config.family), ", ", config.num_labels, " classes)");
    const auto list = [&](const char* what, const std::vector<std::string>& names) {
      if (!names.empty())
        text += Cat("; ", what, " (", names.size(), "): ", model::NamesText(names));
    };
    list("missing", missing);
    list("misshaped", misshaped);
    list("not expected", extra);
    list("there twice", doubled);
    return InvalidArgument(text);
  }
  if (!match.initialised.empty()) {
    match.note = Cat("new, initialised from the seed: ", ModuleList(match.initialised));
  }
  if (!match.ignored.empty()) {
    match.note += Cat(match.note.empty() ? "" : "; ", "not used: ", ModuleList(match.ignored));
  }
  return match;
}

}  // namespace anamnesis::encoder
