// SPDX-License-Identifier: Apache-2.0
#include "workers/model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "common/io/file.h"

namespace anamnesis::model {
namespace {

// Families that training.md names and that later issues build.
constexpr std::array<std::string_view, 14> kPlannedTypes = {
    "bert", "roberta", "distilbert", "electra", "modernbert",  "mistral", "phi",
    "phi3", "gemma",   "gemma2",     "gemma3",  "gemma3_text", "qwen2",   "qwen3"};

// Reads members of one JSON object with HF's rule: absent or null means the default. The first
// error sticks.
class Reader {
 public:
  Reader(const Json& object, std::string source) : object_(object), source_(std::move(source)) {}

  const Json* Find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  void Int(const char* key, int64_t low, int64_t high, int64_t* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return Fail(key, "an integer", *value);
    const bool too_big = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{1} << 62;
    const int64_t number = too_big ? high : value->get<int64_t>();
    if (too_big || number < low || number > high) {
      return Set(InvalidArgument(source_, ": key '", key, "': expected an integer from ", low,
                                 " to ", high));
    }
    *out = number;
  }
  void Number(const char* key, double* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_number() || !std::isfinite(value->get<double>())) {
      return Fail(key, "a number", *value);
    }
    *out = value->get<double>();
  }
  void Bool(const char* key, bool* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Fail(key, "true or false", *value);
    *out = value->get<bool>();
  }
  void String(const char* key, std::string* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_string()) return Fail(key, "a string", *value);
    *out = value->get<std::string>();
  }
  void Fail(const char* key, const char* expected, const Json& found) {
    Set(InvalidArgument(source_, ": key '", key, "': expected ", expected, ", found ",
                        found.type_name()));
  }
  void Set(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  const Status& status() const { return status_; }
  const std::string& source() const { return source_; }

 private:
  const Json& object_;
  std::string source_;
  Status status_;
};

Status CheckModelType(const Json& json, const std::string& source) {
  const auto it = json.find("model_type");
  if (it == json.end() || !it->is_string()) {
    return InvalidArgument(source, ": key 'model_type' is missing; supported: llama");
  }
  const std::string type = it->get<std::string>();
  if (type == "llama") return absl::OkStatus();
  if (std::find(kPlannedTypes.begin(), kPlannedTypes.end(), type) != kPlannedTypes.end()) {
    return Unimplemented(source, ": model_type: ", type, " is not built yet; supported: llama");
  }
  return InvalidArgument(source, ": model_type: '", type, "' is not supported; supported: llama");
}

Status ReadRope(const Reader& config, const ModelConfig& shape, RopeConfig* rope) {
  Reader top(config);
  top.Number("rope_theta", &rope->theta);
  double partial = 1.0;
  top.Number("partial_rotary_factor", &partial);
  ANAM_RETURN_IF_ERROR(top.status());
  // As transformers 5: a non-empty rope_scaling wins over rope_parameters.
  const Json* dict = top.Find("rope_scaling");
  const char* key = "rope_scaling";
  if (dict == nullptr || dict->empty()) {
    dict = top.Find("rope_parameters");
    key = "rope_parameters";
  }
  const std::string where = Cat(config.source(), ": ", key);
  if (dict != nullptr) {
    if (!dict->is_object()) {
      return InvalidArgument(where, ": expected an object, found ", dict->type_name());
    }
    Reader inner(*dict, where);
    inner.String("type", &rope->type);
    inner.String("rope_type", &rope->type);
    inner.Number("rope_theta", &rope->theta);
    inner.Number("partial_rotary_factor", &partial);
    inner.Number("factor", &rope->factor);
    inner.Number("low_freq_factor", &rope->low_freq_factor);
    inner.Number("high_freq_factor", &rope->high_freq_factor);
    rope->original_max_position_embeddings = shape.max_position_embeddings;
    inner.Int("original_max_position_embeddings", 1, int64_t{1} << 40,
              &rope->original_max_position_embeddings);
    ANAM_RETURN_IF_ERROR(inner.status());
    if (rope->type != "default" && rope->type != "linear" && rope->type != "llama3") {
      return Unimplemented(where, ": rope_type: ", rope->type,
                           " is not built yet; supported: default, linear, llama3");
    }
    const auto need = [&](const char* name) {
      return inner.Find(name) != nullptr ? absl::OkStatus()
                                         : InvalidArgument(where, ": key '", name, "' is missing");
    };
    if (rope->type != "default") ANAM_RETURN_IF_ERROR(need("factor"));
    if (rope->type == "llama3") {
      ANAM_RETURN_IF_ERROR(need("low_freq_factor"));
      ANAM_RETURN_IF_ERROR(need("high_freq_factor"));
    }
  }
  if (partial != 1.0) {
    return Unimplemented(config.source(), ": partial_rotary_factor: ", partial,
                         " is not built yet; supported: 1.0");
  }
  const bool factors_ok = rope->factor > 0 && rope->low_freq_factor > 0 &&
                          rope->high_freq_factor > rope->low_freq_factor;
  if (rope->theta <= 0 || (rope->type != "default" && !factors_ok)) {
    return InvalidArgument(where,
                           ": expected rope_theta > 0, factor > 0 and 0 < low_freq_factor < ",
                           "high_freq_factor");
  }
  if (rope->type != "llama3") {  // fields that the type does not use keep their defaults
    const RopeConfig unused;
    rope->low_freq_factor = unused.low_freq_factor;
    rope->high_freq_factor = unused.high_freq_factor;
    rope->original_max_position_embeddings = 0;
    if (rope->type == "default") rope->factor = unused.factor;
  }
  return absl::OkStatus();
}

void ReadEos(Reader* reader, std::vector<int64_t>* out) {
  const Json* value = reader->Find("eos_token_id");
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  out->clear();
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      return reader->Fail("eos_token_id", "an integer, a list of integers or null", *value);
    }
    out->push_back(id.get<int64_t>());
  }
}

Status CheckOptions(const Reader& config, const ModelConfig& c) {
  const std::string& source = config.source();
  if (c.hidden_act != "silu") {
    return Unimplemented(source, ": hidden_act: ", c.hidden_act,
                         " is not built yet; supported: silu");
  }
  if (config.Find("quantization_config") != nullptr) {
    return Unimplemented(source, ": quantization_config is not built yet");
  }
  Reader reader(config);
  double attention_dropout = 0;
  reader.Number("attention_dropout", &attention_dropout);
  ANAM_RETURN_IF_ERROR(reader.status());
  if (attention_dropout != 0) {
    return Unimplemented(source, ": attention_dropout: ", attention_dropout,
                         " is not built yet; supported: 0");
  }
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    return InvalidArgument(source, ": num_attention_heads ", c.num_attention_heads,
                           " is not a multiple of num_key_value_heads ", c.num_key_value_heads);
  }
  if (c.head_dim % 2 != 0) {
    return InvalidArgument(source, ": head_dim ", c.head_dim, ": expected an even number");
  }
  if (c.dtype != "float32" && c.dtype != "bfloat16" && c.dtype != "float16") {
    return InvalidArgument(source, ": dtype: expected float32, bfloat16 or float16");
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<ModelConfig> ModelConfigFromJson(const Json& json, const std::string& source) {
  if (!json.is_object()) return InvalidArgument(source, ": expected a JSON object");
  ANAM_RETURN_IF_ERROR(CheckModelType(json, source));
  ModelConfig c;
  Reader reader(json, source);
  constexpr int64_t kMaxWidth = int64_t{1} << 24;
  reader.Int("vocab_size", 1, int64_t{1} << 31, &c.vocab_size);
  reader.Int("hidden_size", 1, kMaxWidth, &c.hidden_size);
  reader.Int("intermediate_size", 1, kMaxWidth, &c.intermediate_size);
  reader.Int("num_hidden_layers", 1, 100000, &c.num_hidden_layers);
  reader.Int("num_attention_heads", 1, 65536, &c.num_attention_heads);
  c.num_key_value_heads = c.num_attention_heads;
  reader.Int("num_key_value_heads", 1, 65536, &c.num_key_value_heads);
  ANAM_RETURN_IF_ERROR(reader.status());
  if (reader.Find("head_dim") == nullptr && c.hidden_size % c.num_attention_heads != 0) {
    return InvalidArgument(source, ": hidden_size ", c.hidden_size,
                           " is not a multiple of num_attention_heads ", c.num_attention_heads);
  }
  c.head_dim = c.hidden_size / c.num_attention_heads;
  reader.Int("head_dim", 2, 65536, &c.head_dim);
  reader.Int("max_position_embeddings", 1, int64_t{1} << 40, &c.max_position_embeddings);
  reader.String("hidden_act", &c.hidden_act);
  reader.Number("initializer_range", &c.initializer_range);
  reader.Number("rms_norm_eps", &c.rms_norm_eps);
  reader.Bool("attention_bias", &c.attention_bias);
  reader.Bool("mlp_bias", &c.mlp_bias);
  reader.Bool("tie_word_embeddings", &c.tie_word_embeddings);
  reader.Int("pad_token_id", -1, int64_t{1} << 31, &c.pad_token_id);
  if (json.contains("bos_token_id") && json.at("bos_token_id").is_null()) c.bos_token_id = -1;
  reader.Int("bos_token_id", -1, int64_t{1} << 31, &c.bos_token_id);
  if (json.contains("eos_token_id") && json.at("eos_token_id").is_null()) c.eos_token_ids.clear();
  ReadEos(&reader, &c.eos_token_ids);
  reader.String("torch_dtype", &c.dtype);
  reader.String("dtype", &c.dtype);
  ANAM_RETURN_IF_ERROR(reader.status());
  ANAM_RETURN_IF_ERROR(CheckOptions(reader, c));
  ANAM_RETURN_IF_ERROR(ReadRope(reader, c, &c.rope));
  return c;
}

StatusOr<ModelConfig> ReadModelConfig(const std::string& directory) {
  const std::string path = directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return ModelConfigFromJson(json, path);
}

Json ToJson(const ModelConfig& c) {
  Json rope = {{"rope_type", c.rope.type}, {"rope_theta", c.rope.theta}};
  if (c.rope.type != "default") rope["factor"] = c.rope.factor;
  if (c.rope.type == "llama3") {
    rope["low_freq_factor"] = c.rope.low_freq_factor;
    rope["high_freq_factor"] = c.rope.high_freq_factor;
    rope["original_max_position_embeddings"] = c.rope.original_max_position_embeddings;
  }
  const auto id_or_null = [](int64_t id) { return id < 0 ? Json(nullptr) : Json(id); };
  Json eos = c.eos_token_ids;
  if (c.eos_token_ids.size() == 1) eos = c.eos_token_ids.front();
  if (c.eos_token_ids.empty()) eos = nullptr;
  return Json{{"architectures", {"LlamaForCausalLM"}},
              {"model_type", c.model_type},
              {"vocab_size", c.vocab_size},
              {"hidden_size", c.hidden_size},
              {"intermediate_size", c.intermediate_size},
              {"num_hidden_layers", c.num_hidden_layers},
              {"num_attention_heads", c.num_attention_heads},
              {"num_key_value_heads", c.num_key_value_heads},
              {"head_dim", c.head_dim},
              {"max_position_embeddings", c.max_position_embeddings},
              {"hidden_act", c.hidden_act},
              {"initializer_range", c.initializer_range},
              {"rms_norm_eps", c.rms_norm_eps},
              {"attention_bias", c.attention_bias},
              {"attention_dropout", 0.0},
              {"mlp_bias", c.mlp_bias},
              {"tie_word_embeddings", c.tie_word_embeddings},
              {"rope_theta", c.rope.theta},
              {"rope_scaling", c.rope.type == "default" ? Json(nullptr) : rope},
              {"rope_parameters", rope},
              {"pad_token_id", id_or_null(c.pad_token_id)},
              {"bos_token_id", id_or_null(c.bos_token_id)},
              {"eos_token_id", eos},
              {"torch_dtype", c.dtype},
              {"dtype", c.dtype}};
}

}  // namespace anamnesis::model
