// SPDX-License-Identifier: Apache-2.0
#include "workers/model/config.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "common/io/file.h"
#include "workers/model/family.h"
#include "workers/model/json_fields.h"

namespace anamnesis::model {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 24;
constexpr int64_t kMaxLength = int64_t{1} << 40;
constexpr std::array<std::string_view, 5> kActivations = {"silu", "gelu", "gelu_new",
                                                          "gelu_pytorch_tanh", "relu"};

StatusOr<const Family*> FamilyOf(const JsonFields& fields) {
  const Json* type = fields.Find("model_type");
  if (type == nullptr || !type->is_string()) {
    return InvalidArgument(fields.source(),
                           ": key 'model_type' is missing; supported: ", SupportedFamilies());
  }
  const Family* family = FindFamily(type->get<std::string>());
  if (family != nullptr) return family;
  return Unimplemented(fields.source(), ": model_type: ", type->get<std::string>(),
                       " is not built; supported: ", SupportedFamilies());
}

Status ReadShape(JsonFields* fields, ModelConfig* c) {
  fields->Int("vocab_size", 1, int64_t{1} << 31, &c->vocab_size);
  fields->Int("hidden_size", 1, kMaxWidth, &c->hidden_size);
  fields->Int("intermediate_size", 1, kMaxWidth, &c->intermediate_size);
  fields->Int("num_hidden_layers", 1, 100000, &c->num_hidden_layers);
  fields->Int("num_attention_heads", 1, 65536, &c->num_attention_heads);
  // Mistral, Gemma and Qwen have a default; null, and elsewhere an absent key, is "as many".
  const std::string& type = c->model_type;
  if (type == "llama" || type == "phi" || type == "phi3" || fields->IsNull("num_key_value_heads")) {
    c->num_key_value_heads = c->num_attention_heads;
  }
  fields->Int("num_key_value_heads", 1, 65536, &c->num_key_value_heads);
  ANAM_RETURN_IF_ERROR(fields->status());
  const bool has_own_head_dim = type.starts_with("gemma") || type == "qwen3";
  if (!has_own_head_dim || fields->IsNull("head_dim")) {
    if (fields->Find("head_dim") == nullptr && c->hidden_size % c->num_attention_heads != 0) {
      return InvalidArgument(fields->source(), ": hidden_size ", c->hidden_size,
                             " is not a multiple of num_attention_heads ", c->num_attention_heads);
    }
    c->head_dim = c->hidden_size / c->num_attention_heads;
  }
  fields->Int("head_dim", 2, 65536, &c->head_dim);
  fields->Int("max_position_embeddings", 1, kMaxLength, &c->max_position_embeddings);
  ANAM_RETURN_IF_ERROR(fields->status());
  if (c->num_attention_heads % c->num_key_value_heads != 0) {
    return InvalidArgument(fields->source(), ": num_attention_heads ", c->num_attention_heads,
                           " is not a multiple of num_key_value_heads ", c->num_key_value_heads);
  }
  return absl::OkStatus();
}

void ReadEos(JsonFields* fields, std::vector<int64_t>* out) {
  if (fields->IsNull("eos_token_id")) out->clear();
  const Json* value = fields->Find("eos_token_id");
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  out->clear();
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      return fields->Fail("eos_token_id", "an integer, a list of integers or null", *value);
    }
    out->push_back(id.get<int64_t>());
  }
}

void ReadTokensAndDtype(JsonFields* fields, ModelConfig* c) {
  if (fields->IsNull("pad_token_id")) c->pad_token_id = -1;
  fields->Int("pad_token_id", -1, int64_t{1} << 31, &c->pad_token_id);
  if (fields->IsNull("bos_token_id")) c->bos_token_id = -1;
  fields->Int("bos_token_id", -1, int64_t{1} << 31, &c->bos_token_id);
  ReadEos(fields, &c->eos_token_ids);
  fields->String("torch_dtype", &c->dtype);
  fields->String("dtype", &c->dtype);
  fields->Bool("tie_word_embeddings", &c->tie_word_embeddings);
}

Status ReadActivation(JsonFields* fields, const Family& family, ModelConfig* c) {
  fields->String(family.act_key, &c->hidden_act);
  ANAM_RETURN_IF_ERROR(fields->status());
  // Gemma 1's first releases say gelu and mean its tanh form.
  if (c->model_type == "gemma" && c->hidden_act == "gelu") c->hidden_act = "gelu_pytorch_tanh";
  if (std::find(kActivations.begin(), kActivations.end(), c->hidden_act) != kActivations.end()) {
    return absl::OkStatus();
  }
  return Unimplemented(fields->source(), ": ", family.act_key, ": ", c->hidden_act,
                       " is not built; supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu");
}

void ReadSoftcaps(JsonFields* fields, ModelConfig* c) {
  fields->Positive("query_pre_attn_scalar", &c->query_pre_attn_scalar);
  if (fields->IsNull("attn_logit_softcapping")) c->attn_logit_softcapping = 0;
  if (fields->IsNull("final_logit_softcapping")) c->final_logit_softcapping = 0;
  fields->Positive("attn_logit_softcapping", &c->attn_logit_softcapping);
  fields->Positive("final_logit_softcapping", &c->final_logit_softcapping);
  if (c->model_type == "gemma3_text" && c->attn_logit_softcapping > 0) {
    fields->Set(Unimplemented(fields->source(), ": attn_logit_softcapping is not built for gemma3",
                              " (transformers ignores it there); supported: null"));
  }
}

// The pattern of sliding layers where layer_types is absent.
std::vector<bool> DefaultPattern(JsonFields* fields, const ModelConfig& c) {
  int64_t pattern = c.model_type == "gemma2" ? 2 : 6, full_layers = 28;
  if (c.model_type == "gemma3_text") {
    fields->Int("sliding_window_pattern", 1, 100000, &pattern);
  }
  fields->Int("max_window_layers", 0, 100000, &full_layers);
  std::vector<bool> sliding;
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    if (c.model_type.starts_with("gemma")) sliding.push_back((i + 1) % pattern != 0);
    if (c.model_type.starts_with("qwen")) sliding.push_back(i >= full_layers);
    if (c.model_type == "mistral" || c.model_type == "phi3") sliding.push_back(true);
  }
  return sliding;
}

Status ReadLayerTypes(const JsonFields& fields, const ModelConfig& c, std::vector<bool>* sliding) {
  const Json& types = *fields.Find("layer_types");
  if (!types.is_array() || static_cast<int64_t>(types.size()) != c.num_hidden_layers) {
    return InvalidArgument(fields.source(), ": key 'layer_types': expected a list of ",
                           c.num_hidden_layers, " layer types");
  }
  sliding->clear();
  for (const Json& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      return Unimplemented(fields.source(), ": key 'layer_types': supported: full_attention, ",
                           "sliding_attention");
    }
    sliding->push_back(type == "sliding_attention");
  }
  return absl::OkStatus();
}

Status ReadWindows(JsonFields* fields, const Family& family, ModelConfig* c) {
  if (family.default_window < 0) return absl::OkStatus();
  int64_t window = fields->IsNull("sliding_window") ? 0 : family.default_window;
  fields->Int("sliding_window", 0, kMaxLength, &window);
  bool use = true;
  if (family.reads_use_sliding_window) {
    use = false;
    fields->Bool("use_sliding_window", &use);
  }
  if (!use) window = 0;
  std::vector<bool> sliding = DefaultPattern(fields, *c);
  ANAM_RETURN_IF_ERROR(fields->status());
  const bool listed = family.reads_layer_types && fields->Find("layer_types") != nullptr;
  if (listed) ANAM_RETURN_IF_ERROR(ReadLayerTypes(*fields, *c, &sliding));
  const bool any = std::find(sliding.begin(), sliding.end(), true) != sliding.end();
  if (window == 0 && any && (listed || c->model_type.starts_with("gemma"))) {
    return InvalidArgument(fields->source(), ": layers of type sliding_attention without a ",
                           "sliding_window");
  }
  if (window == 0 || !any) return absl::OkStatus();
  c->sliding_window = window;
  c->sliding_layers = std::move(sliding);
  return absl::OkStatus();
}

// HF's dropouts that the class applies; attention_dropout would need the probabilities themselves.
Status ReadDropouts(JsonFields* fields, const Family& family, ModelConfig* c) {
  double attention = 0;
  fields->Number("attention_dropout", &attention);
  if (family.reads_dropouts) fields->Number("resid_pdrop", &c->resid_pdrop);
  if (c->model_type == "phi") fields->Number("embd_pdrop", &c->embd_pdrop);  // phi3 applies none
  ANAM_RETURN_IF_ERROR(fields->status());
  for (const double p : {c->resid_pdrop, c->embd_pdrop}) {
    if (p < 0 || p >= 1) {
      return InvalidArgument(fields->source(), ": resid_pdrop, embd_pdrop: expected 0 ≤ p < 1");
    }
  }
  if (attention == 0) return absl::OkStatus();
  return Unimplemented(fields->source(), ": attention_dropout: ", attention,
                       " is not built; supported: 0");
}

Status ReadOptions(JsonFields* fields, const Family& family, ModelConfig* c) {
  fields->Number("initializer_range", &c->initializer_range);
  const bool layer_norm = c->flags.norm == NormKind::kLayerNorm;
  fields->Positive(layer_norm ? "layer_norm_eps" : "rms_norm_eps", &c->norm_eps);
  if (family.reads_attention_bias) {
    fields->Bool("attention_bias", &c->qkv_bias);
    c->o_bias = c->qkv_bias;
  }
  if (family.reads_mlp_bias) fields->Bool("mlp_bias", &c->mlp_bias);
  if (c->model_type == "phi") fields->Bool("qk_layernorm", &c->flags.qk_norm);
  if (family.reads_softcaps) ReadSoftcaps(fields, c);
  bool bidirectional = false;
  fields->Bool("use_bidirectional_attention", &bidirectional);
  ANAM_RETURN_IF_ERROR(fields->status());
  if (bidirectional) {
    return Unimplemented(fields->source(), ": use_bidirectional_attention: true is not built");
  }
  if (c->dtype != "float32" && c->dtype != "bfloat16" && c->dtype != "float16") {
    return InvalidArgument(fields->source(), ": dtype: expected float32, bfloat16 or float16");
  }
  if (c->model_type == "phi" && c->flags.qk_norm &&
      c->head_dim * c->num_attention_heads != c->hidden_size) {
    return InvalidArgument(fields->source(), ": head_dim: qk_layernorm needs hidden_size / ",
                           "num_attention_heads");
  }
  ANAM_RETURN_IF_ERROR(ReadActivation(fields, family, c));
  return ReadDropouts(fields, family, c);
}

// rope_scaling wins over rope_parameters where it is not empty, as in transformers 5.
Status ReadRopes(JsonFields* fields, const Family& family, ModelConfig* c) {
  RopeShape shape{.model_type = c->model_type,
                  .head_dim = c->head_dim,
                  .max_position_embeddings = c->max_position_embeddings,
                  .may_be_partial = family.may_be_partial};
  if (c->model_type == "phi3") shape.original_max_position_embeddings = 4096;
  fields->Int("original_max_position_embeddings", 2, kMaxLength,
              &shape.original_max_position_embeddings);
  fields->Positive("rope_theta", &c->rope.theta);
  fields->Positive("partial_rotary_factor", &c->rope.partial_rotary_factor);
  if (c->flags.local_rope) fields->Positive("rope_local_base_freq", &c->local_rope.theta);
  ANAM_RETURN_IF_ERROR(fields->status());
  const Json* scaling = fields->Find("rope_scaling");
  if (scaling != nullptr && scaling->empty()) scaling = nullptr;
  const Json* parameters = fields->Find("rope_parameters");
  const std::string where = fields->source() + ": ";
  if (!c->flags.local_rope) {
    return ReadRope(scaling != nullptr ? scaling : parameters,
                    where + (scaling != nullptr ? "rope_scaling" : "rope_parameters"), shape,
                    &c->rope);
  }
  // Gemma 3: rope_parameters by layer type; rope_scaling changes the full layers alone.
  Json full = Json::object(), local = Json::object();
  if (parameters != nullptr && !parameters->empty()) {
    const auto part = [&](const char* name, Json* out) {
      const auto it = parameters->find(name);
      if (it != parameters->end() && !it->is_null()) *out = *it;
    };
    if (!parameters->is_object() ||
        !(parameters->contains("full_attention") || parameters->contains("sliding_attention"))) {
      return InvalidArgument(where, "rope_parameters: expected an object with full_attention and ",
                             "sliding_attention");
    }
    part("full_attention", &full);
    part("sliding_attention", &local);
  }
  if (scaling != nullptr) {
    if (!scaling->is_object() || !full.is_object()) {
      return InvalidArgument(where, "rope_scaling: expected an object");
    }
    full.update(*scaling);
  }
  ANAM_RETURN_IF_ERROR(ReadRope(&full, where + "rope_parameters: full_attention", shape, &c->rope));
  return ReadRope(&local, where + "rope_parameters: sliding_attention", shape, &c->local_rope);
}

// A multimodal Gemma 3 nests its text model; ids, dtype and tying of the top level win.
StatusOr<ModelConfig> ReadNested(const Json& json, const std::string& source) {
  const auto nested = json.find("text_config");
  if (nested == json.end() || !nested->is_object()) {
    return InvalidArgument(source, ": key 'text_config': expected an object");
  }
  Json text = *nested;
  if (!text.contains("model_type")) text["model_type"] = "gemma3_text";
  if (text["model_type"] != "gemma3_text") {
    return InvalidArgument(source, ": text_config: model_type: expected gemma3_text");
  }
  text["tie_word_embeddings"] = json.value("tie_word_embeddings", Json(nullptr));
  ANAM_ASSIGN_OR_RETURN(ModelConfig config, ModelConfigFromJson(text, source + ": text_config"));
  config.multimodal = true;
  JsonFields fields(json, source);
  ReadTokensAndDtype(&fields, &config);
  ANAM_RETURN_IF_ERROR(fields.status());
  return config;
}

}  // namespace

StatusOr<ModelConfig> ModelConfigFromJson(const Json& json, const std::string& source) {
  if (!json.is_object()) return InvalidArgument(source, ": expected a JSON object");
  if (json.contains("model_type") && json.at("model_type") == "gemma3") {
    return ReadNested(json, source);
  }
  JsonFields fields(json, source);
  ANAM_ASSIGN_OR_RETURN(const Family* family, FamilyOf(fields));
  ModelConfig c = FamilyDefaults(family->model_type);
  ANAM_RETURN_IF_ERROR(ReadShape(&fields, &c));
  ReadTokensAndDtype(&fields, &c);
  ANAM_RETURN_IF_ERROR(fields.status());
  ANAM_RETURN_IF_ERROR(ReadOptions(&fields, *family, &c));
  ANAM_RETURN_IF_ERROR(ReadWindows(&fields, *family, &c));
  ANAM_RETURN_IF_ERROR(ReadRopes(&fields, *family, &c));
  return c;
}

StatusOr<ModelConfig> ReadModelConfig(const std::string& directory) {
  const std::string path = directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return ModelConfigFromJson(json, path);
}

}  // namespace anamnesis::model
