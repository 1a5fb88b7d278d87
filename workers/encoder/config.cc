// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/config.h"

#include <array>
#include <optional>
#include <utility>

#include "workers/model/json_fields.h"

namespace anamnesis::encoder {
namespace {

constexpr char kSupportedTypes[] = "bert, distilbert, electra, modernbert, roberta";
constexpr char kSupportedActivations[] = "gelu, gelu_new, gelu_pytorch_tanh, relu, silu";
constexpr int64_t kMaxWidth = int64_t{1} << 24;
constexpr int64_t kMaxId = int64_t{1} << 31;

constexpr std::array<std::pair<const char*, Family>, 5> kFamilies = {{
    {"bert", Family::kBert},
    {"roberta", Family::kRoberta},
    {"distilbert", Family::kDistilBert},
    {"electra", Family::kElectra},
    {"modernbert", Family::kModernBert},
}};

constexpr std::array<std::pair<const char*, Activation>, 7> kActivations = {{
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
}};

// Fields of the kinds that encoders have.
class Reader : public model::JsonFields {
 public:
  using JsonFields::JsonFields;

  void InRange(const char* key, double low, double high, double* out) {
    double number = *out;
    Number(key, &number);
    if (!(number >= low && number <= high)) {
      return Set(InvalidArgument(source(), ": key '", key, "': expected a number from ", low,
                                 " to ", high));
    }
    *out = number;
  }
  // Of dropout.
  void Probability(const char* key, double* out) { InRange(key, 0.0, 0.999, out); }
  void Act(const char* key, Activation* out) {
    std::string name;
    String(key, &name);
    if (name.empty()) return;
    for (const auto& [known, activation] : kActivations) {
      if (name == known) {
        *out = activation;
        return;
      }
    }
    Set(Unimplemented(source(), ": ", key, ": '", name,
                      "' is not built yet; supported: ", kSupportedActivations));
  }
};

// What a family's classes default to.
EncoderConfig DefaultsOf(Family family) {
  EncoderConfig c;
  c.family = family;
  c.vocab_size = family == Family::kRoberta ? 50265 : 30522;
  c.hidden_size = 768;
  c.num_hidden_layers = 12;
  c.num_attention_heads = 12;
  c.intermediate_size = 3072;
  c.type_vocab_size = family == Family::kDistilBert ? 0 : 2;
  c.pad_token_id = family == Family::kRoberta ? 1 : 0;
  c.hidden_dropout = 0.1;
  c.attention_dropout = 0.1;
  if (family == Family::kDistilBert) {
    c.num_hidden_layers = 6;
    c.classifier_dropout = 0.2;
  }
  if (family == Family::kElectra) {
    c.embedding_size = 128;
    c.hidden_size = 256;
    c.num_attention_heads = 4;
    c.intermediate_size = 1024;
  }
  if (family == Family::kModernBert) {
    c.vocab_size = 50368;
    c.num_hidden_layers = 22;
    c.intermediate_size = 1152;
    c.max_position_embeddings = 8192;
    c.type_vocab_size = 0;
    c.pad_token_id = 50283;
    c.layer_norm_eps = 1e-5;
    c.hidden_dropout = 0;
    c.attention_dropout = 0;
    c.norm_bias = c.attention_bias = c.mlp_bias = c.classifier_bias = false;
    c.local_window = 64;
  }
  return c;
}

void ReadClassic(Reader* reader, EncoderConfig* c) {
  const bool distil = c->family == Family::kDistilBert;
  // distilbert's own spelling wins over the common one, which its class also takes.
  reader->Int("hidden_size", 1, kMaxWidth, &c->hidden_size);
  reader->Int("num_hidden_layers", 1, 10000, &c->num_hidden_layers);
  reader->Int("num_attention_heads", 1, 4096, &c->num_attention_heads);
  if (distil) {
    reader->Int("dim", 1, kMaxWidth, &c->hidden_size);
    reader->Int("n_layers", 1, 10000, &c->num_hidden_layers);
    reader->Int("n_heads", 1, 4096, &c->num_attention_heads);
    reader->Int("hidden_dim", 1, kMaxWidth, &c->intermediate_size);
    reader->Act("activation", &c->activation);
    reader->Probability("dropout", &c->hidden_dropout);
    reader->Probability("attention_dropout", &c->attention_dropout);
    reader->Probability("seq_classif_dropout", &c->classifier_dropout);
  } else {
    reader->Int("intermediate_size", 1, kMaxWidth, &c->intermediate_size);
    reader->Act("hidden_act", &c->activation);
    reader->Probability("hidden_dropout_prob", &c->hidden_dropout);
    reader->Probability("attention_probs_dropout_prob", &c->attention_dropout);
    c->classifier_dropout = c->hidden_dropout;
    reader->Probability("classifier_dropout", &c->classifier_dropout);
    reader->Int("type_vocab_size", 1, kMaxWidth, &c->type_vocab_size);
    reader->InRange("layer_norm_eps", 0, 1, &c->layer_norm_eps);
  }
  c->embedding_dropout = c->hidden_dropout;
  if (c->family == Family::kElectra) {
    reader->Int("embedding_size", 1, kMaxWidth, &c->embedding_size);
  } else {
    c->embedding_size = c->hidden_size;
  }
}

// rope_parameters (transformers 5), else global_rope_theta and local_rope_theta (4).
void ReadModernRope(Reader* reader, EncoderConfig* c) {
  reader->InRange("global_rope_theta", 1e-6, 1e300, &c->global_rope_theta);
  reader->InRange("local_rope_theta", 1e-6, 1e300, &c->local_rope_theta);
  if (reader->Find("rope_scaling") != nullptr) {
    return reader->Set(Unimplemented(reader->source(), ": rope_scaling is not built yet for ",
                                     "modernbert; supported: rope_type default"));
  }
  const Json* rope = reader->Find("rope_parameters");
  if (rope == nullptr) return;
  if (!rope->is_object()) return reader->Fail("rope_parameters", "an object", *rope);
  const auto read = [&](const char* key, double* theta) {
    const auto it = rope->find(key);
    if (it == rope->end() || it->is_null()) return;
    const std::string where = Cat(reader->source(), ": rope_parameters.", key);
    if (!it->is_object()) return reader->Set(InvalidArgument(where, ": expected an object"));
    Reader inner(*it, where);
    std::string type = "default";
    inner.String("rope_type", &type);
    inner.InRange("rope_theta", 1e-6, 1e300, theta);
    double partial = 1;
    inner.InRange("partial_rotary_factor", 0, 1, &partial);
    if (type != "default" || partial != 1) {
      inner.Set(Unimplemented(where, ": rope_type ", type, ", partial_rotary_factor ", partial,
                              " is not built yet; supported: default, 1"));
    }
    reader->Set(inner.status());
  };
  read("full_attention", &c->global_rope_theta);
  read("sliding_attention", &c->local_rope_theta);
}

void ReadLayerTypes(Reader* reader, EncoderConfig* c) {
  int64_t every = 3;
  reader->Int("global_attn_every_n_layers", 1, 10000, &every);
  if (!reader->status().ok()) return;
  for (int64_t i = 0; i < c->num_hidden_layers; ++i) c->layer_is_local.push_back(i % every != 0);
  const Json* types = reader->Find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array() || types->size() != c->layer_is_local.size()) {
    return reader->Set(InvalidArgument(reader->source(), ": key 'layer_types': expected a list of ",
                                       c->num_hidden_layers, " names"));
  }
  for (size_t i = 0; i < types->size(); ++i) {
    const Json& type = (*types)[i];
    if (!type.is_string() || (type != "sliding_attention" && type != "full_attention")) {
      return reader->Set(Unimplemented(reader->source(), ": layer_types[", i,
                                       "] is not built yet; supported: full_attention, ",
                                       "sliding_attention"));
    }
    c->layer_is_local[i] = type == "sliding_attention";
  }
}

void ReadModern(Reader* reader, EncoderConfig* c) {
  reader->Int("hidden_size", 1, kMaxWidth, &c->hidden_size);
  reader->Int("num_hidden_layers", 1, 10000, &c->num_hidden_layers);
  reader->Int("num_attention_heads", 1, 4096, &c->num_attention_heads);
  reader->Int("intermediate_size", 1, kMaxWidth, &c->intermediate_size);
  c->embedding_size = c->hidden_size;
  reader->Act("hidden_activation", &c->activation);
  reader->Act("classifier_activation", &c->classifier_activation);
  reader->InRange("norm_eps", 0, 1, &c->layer_norm_eps);
  reader->Bool("norm_bias", &c->norm_bias);
  reader->Bool("attention_bias", &c->attention_bias);
  reader->Bool("mlp_bias", &c->mlp_bias);
  reader->Bool("classifier_bias", &c->classifier_bias);
  reader->Probability("attention_dropout", &c->attention_dropout);
  // HF applies attention_dropout to the attention's output too.
  c->hidden_dropout = c->attention_dropout;
  reader->Probability("embedding_dropout", &c->embedding_dropout);
  reader->Probability("mlp_dropout", &c->mlp_dropout);
  reader->Probability("classifier_dropout", &c->classifier_dropout);
  std::string pooling = "cls";
  reader->String("classifier_pooling", &pooling);
  if (pooling != "cls" && pooling != "mean") {
    reader->Set(Unimplemented(reader->source(), ": classifier_pooling: '", pooling,
                              "' is not built yet; supported: cls, mean"));
  }
  c->mean_pooling = pooling == "mean";
  int64_t local_attention = 128;
  reader->Int("local_attention", 2, int64_t{1} << 40, &local_attention);
  c->local_window = local_attention / 2;
  ReadModernRope(reader, c);
  ReadLayerTypes(reader, c);
}

void CheckOptions(Reader* reader, const EncoderConfig& c) {
  const std::string& source = reader->source();
  std::string positions = "absolute";
  reader->String("position_embedding_type", &positions);
  if (positions != "absolute" && !c.IsModern()) {
    reader->Set(Unimplemented(source, ": position_embedding_type: '", positions,
                              "' is not built yet; supported: absolute"));
  }
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    bool value = false;
    reader->Bool(key, &value);
    if (value) {
      reader->Set(Unimplemented(source, ": ", key, ": true is not built yet; supported: false"));
    }
  }
  if (reader->Find("quantization_config") != nullptr) {
    reader->Set(Unimplemented(source, ": quantization_config is not built yet for encoders"));
  }
  const Json* pruned = reader->Find("pruned_heads");
  if (pruned != nullptr && !pruned->empty()) {
    reader->Set(Unimplemented(source, ": pruned_heads is not built yet; supported: {}"));
  }
  if (!reader->status().ok()) return;
  if (c.hidden_size % c.num_attention_heads != 0) {
    reader->Set(InvalidArgument(source, ": hidden_size ", c.hidden_size,
                                " is not a multiple of num_attention_heads ",
                                c.num_attention_heads));
  } else if (c.IsModern() && c.head_dim() % 2 != 0) {
    reader->Set(InvalidArgument(source, ": hidden_size / num_attention_heads is ", c.head_dim(),
                                ": expected an even number"));
  } else if (c.pad_token_id >= c.vocab_size) {
    reader->Set(InvalidArgument(source, ": pad_token_id ", c.pad_token_id,
                                ": expected less than vocab_size ", c.vocab_size));
  } else if (c.MaxTokens() < 1) {
    reader->Set(InvalidArgument(source, ": max_position_embeddings ", c.max_position_embeddings,
                                " leaves no position after pad_token_id ", c.pad_token_id));
  } else if (c.family == Family::kRoberta && c.pad_token_id < 0) {
    reader->Set(InvalidArgument(source, ": pad_token_id is null; roberta's positions start at it"));
  }
}

// id2label, else num_labels; neither is checked further before SetLabels.
void ReadLabels(Reader* reader, EncoderConfig* c) {
  reader->Int("num_labels", 1, 1000000, &c->num_labels);
  const Json* names = reader->Find("id2label");
  if (names == nullptr) return;
  if (!names->is_object()) return reader->Fail("id2label", "an object", *names);
  c->label_names.clear();
  for (size_t i = 0; i < names->size(); ++i) {
    const auto it = names->find(std::to_string(i));
    if (it == names->end() || !it->is_string()) {
      return reader->Set(
          InvalidArgument(reader->source(), ": key 'id2label': expected a name for '", i, "'"));
    }
    c->label_names.push_back(it->get<std::string>());
  }
  if (!c->label_names.empty()) c->num_labels = static_cast<int64_t>(c->label_names.size());
}

const char* Architecture(Family family) {
  switch (family) {
    case Family::kBert:
      return "BertForSequenceClassification";
    case Family::kRoberta:
      return "RobertaForSequenceClassification";
    case Family::kDistilBert:
      return "DistilBertForSequenceClassification";
    case Family::kElectra:
      return "ElectraForSequenceClassification";
    case Family::kModernBert:
      break;
  }
  return "ModernBertForSequenceClassification";
}

}  // namespace

int64_t EncoderConfig::MaxTokens() const {
  if (family == Family::kRoberta) return max_position_embeddings - pad_token_id - 1;
  return max_position_embeddings;
}

const char* FamilyName(Family family) {
  for (const auto& [name, known] : kFamilies) {
    if (known == family) return name;
  }
  return "";
}

bool IsEncoderType(const std::string& model_type) {
  for (const auto& [name, family] : kFamilies) {
    if (model_type == name) return true;
  }
  return false;
}

StatusOr<EncoderConfig> EncoderConfigFromJson(const Json& json, const std::string& source) {
  if (!json.is_object()) return InvalidArgument(source, ": expected a JSON object");
  Reader reader(json, source);
  std::string type;
  reader.String("model_type", &type);
  ANAM_RETURN_IF_ERROR(reader.status());
  std::optional<Family> family;
  for (const auto& [name, known] : kFamilies) {
    if (type == name) family = known;
  }
  if (!family.has_value()) {
    return InvalidArgument(source, ": model_type: '", type,
                           "' is no encoder that can be fine-tuned; supported: ", kSupportedTypes);
  }
  EncoderConfig c = DefaultsOf(*family);
  reader.Int("vocab_size", 1, kMaxId, &c.vocab_size);
  reader.Int("max_position_embeddings", 1, int64_t{1} << 40, &c.max_position_embeddings);
  reader.InRange("initializer_range", 0, 1e6, &c.initializer_range);
  if (json.contains("pad_token_id") && json.at("pad_token_id").is_null()) c.pad_token_id = -1;
  reader.Int("pad_token_id", -1, kMaxId, &c.pad_token_id);
  if (c.IsModern()) {
    ReadModern(&reader, &c);
  } else {
    ReadClassic(&reader, &c);
  }
  ReadLabels(&reader, &c);
  ANAM_RETURN_IF_ERROR(reader.status());
  CheckOptions(&reader, c);
  ANAM_RETURN_IF_ERROR(reader.status());
  c.source = json;
  return c;
}

StatusOr<EncoderConfig> ReadEncoderConfig(const std::string& directory) {
  const std::string path = directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return EncoderConfigFromJson(json, path);
}

Status SetLabels(int64_t num_labels, const std::vector<std::string>& names, EncoderConfig* config) {
  if (num_labels < 2) {
    return InvalidArgument("num_classes: ", num_labels, ": expected at least 2");
  }
  if (!names.empty() && static_cast<int64_t>(names.size()) != num_labels) {
    return InvalidArgument("num_classes: ", num_labels, " with ", names.size(), " class names");
  }
  config->num_labels = num_labels;
  if (!names.empty()) config->label_names = names;
  if (static_cast<int64_t>(config->label_names.size()) != num_labels) {
    config->label_names.clear();
    for (int64_t i = 0; i < num_labels; ++i) config->label_names.push_back(Cat("LABEL_", i));
  }
  return absl::OkStatus();
}

Json EncoderConfigJson(const EncoderConfig& config) {
  Json out = config.source;
  out["model_type"] = FamilyName(config.family);
  out["architectures"] = {Architecture(config.family)};
  Json id2label = Json::object(), label2id = Json::object();
  for (size_t i = 0; i < config.label_names.size(); ++i) {
    id2label[std::to_string(i)] = config.label_names[i];
    label2id[config.label_names[i]] = i;
  }
  out["id2label"] = id2label;
  out["label2id"] = label2id;
  out.erase("num_labels");
  out["problem_type"] = "single_label_classification";
  out["torch_dtype"] = "float32";
  out["dtype"] = "float32";
  return out;
}

std::string EncoderConfigText(const EncoderConfig& config) {
  return EncoderConfigJson(config).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace anamnesis::encoder
