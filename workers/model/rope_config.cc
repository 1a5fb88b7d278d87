// SPDX-License-Identifier: Apache-2.0
#include "workers/model/rope_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace anamnesis::model {
namespace {

constexpr std::array<std::string_view, 6> kRopeTypes = {"default", "linear",   "dynamic",
                                                        "llama3",  "longrope", "yarn"};
constexpr char kSupported[] = "default, linear, dynamic, llama3, longrope, yarn";

// Peng et al. 2023 (yarn), section 3.4: the temperature of the attention scores as a factor.
double YarnScale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

Status Missing(const JsonFields& dict, const char* key) {
  return dict.Find(key) != nullptr ? absl::OkStatus()
                                   : InvalidArgument(dict.source(), ": key '", key, "' is missing");
}

Status ReadLlama3(JsonFields* dict, RopeConfig* rope) {
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"}) {
    ANAM_RETURN_IF_ERROR(Missing(*dict, key));
  }
  dict->Positive("low_freq_factor", &rope->low_freq_factor);
  dict->Positive("high_freq_factor", &rope->high_freq_factor);
  ANAM_RETURN_IF_ERROR(dict->status());
  if (rope->high_freq_factor > rope->low_freq_factor) return absl::OkStatus();
  return InvalidArgument(dict->source(), ": expected low_freq_factor < high_freq_factor");
}

void ReadYarn(JsonFields* dict, double stretch, RopeConfig* rope) {
  if (dict->Find("factor") == nullptr) rope->factor = stretch;
  dict->Positive("beta_fast", &rope->beta_fast);
  dict->Positive("beta_slow", &rope->beta_slow);
  dict->Bool("truncate", &rope->truncate);
  double mscale = 0, mscale_all_dim = 0;
  dict->Number("mscale", &mscale);
  dict->Number("mscale_all_dim", &mscale_all_dim);
  rope->attention_factor =
      mscale != 0 && mscale_all_dim != 0
          ? YarnScale(rope->factor, mscale) / YarnScale(rope->factor, mscale_all_dim)
          : YarnScale(rope->factor, 1.0);
  dict->Positive("attention_factor", &rope->attention_factor);
}

// Ding et al. 2024 (LongRoPE), as HF derives the attention factor.
Status ReadLongrope(JsonFields* dict, double stretch, int64_t half, RopeConfig* rope) {
  for (const char* key : {"short_factor", "long_factor"}) {
    ANAM_RETURN_IF_ERROR(Missing(*dict, key));
  }
  dict->Numbers("short_factor", &rope->short_factor);
  dict->Numbers("long_factor", &rope->long_factor);
  ANAM_RETURN_IF_ERROR(dict->status());
  for (const auto* list : {&rope->short_factor, &rope->long_factor}) {
    if (static_cast<int64_t>(list->size()) != half) {
      return InvalidArgument(dict->source(), ": ",
                             list == &rope->short_factor ? "short_factor" : "long_factor", " has ",
                             list->size(), " numbers, expected half the rotated width, ", half);
    }
  }
  const double factor = dict->Find("factor") == nullptr ? stretch : rope->factor;
  const double original = static_cast<double>(rope->original_max_position_embeddings);
  rope->attention_factor =
      factor <= 1 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
  rope->factor = 1.0;  // of no further use
  dict->Positive("attention_factor", &rope->attention_factor);
  return dict->status();
}

Status ReadType(JsonFields* dict, const RopeShape& shape, RopeConfig* rope) {
  dict->String("type", &rope->type);
  dict->String("rope_type", &rope->type);
  ANAM_RETURN_IF_ERROR(dict->status());
  const bool phi3 = shape.model_type == "phi3";
  // Old names of longrope in Phi-3's first releases.
  if (phi3 && (rope->type == "su" || rope->type == "yarn")) rope->type = "longrope";
  if (std::find(kRopeTypes.begin(), kRopeTypes.end(), rope->type) == kRopeTypes.end()) {
    return Unimplemented(dict->source(), ": rope_type: ", rope->type,
                         " is not built; supported: ", kSupported);
  }
  if (phi3 && rope->type != "default" && rope->type != "longrope") {
    return Unimplemented(dict->source(), ": rope_type: ", rope->type,
                         " is not built for phi3; supported: default, longrope");
  }
  return absl::OkStatus();
}

Status ReadTypeFields(JsonFields* dict, const RopeShape& shape, RopeConfig* rope) {
  if (rope->type == "default") return absl::OkStatus();
  dict->Positive("factor", &rope->factor);
  double stretch = 1;  // of the positions, where the dictionary has no factor
  if (rope->type != "linear" && rope->type != "dynamic") {
    rope->original_max_position_embeddings = shape.max_position_embeddings;
    dict->Int("original_max_position_embeddings", 2, int64_t{1} << 40,
              &rope->original_max_position_embeddings);
    if (shape.original_max_position_embeddings > 0) {
      rope->original_max_position_embeddings = shape.original_max_position_embeddings;
    }
    stretch = static_cast<double>(shape.max_position_embeddings) /
              static_cast<double>(rope->original_max_position_embeddings);
  }
  ANAM_RETURN_IF_ERROR(dict->status());
  if (rope->type == "llama3") return ReadLlama3(dict, rope);
  if (rope->type == "longrope") {
    return ReadLongrope(dict, stretch, RotaryDim(*rope, shape.head_dim) / 2, rope);
  }
  if (rope->type == "yarn") {
    ReadYarn(dict, stretch, rope);
    return dict->status();
  }
  if (rope->type == "dynamic" && RotaryDim(*rope, shape.head_dim) < 4) {
    return InvalidArgument(dict->source(), ": dynamic needs a rotated width of at least 4");
  }
  return Missing(*dict, "factor");
}

}  // namespace

int64_t RotaryDim(const RopeConfig& rope, int64_t head_dim) {
  return static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial_rotary_factor);
}

Status ReadRope(const Json* dictionary, const std::string& where, const RopeShape& shape,
                RopeConfig* rope) {
  static const Json kEmpty = Json::object();
  if (dictionary != nullptr && !dictionary->is_object()) {
    return InvalidArgument(where, ": expected an object, found ", dictionary->type_name());
  }
  JsonFields dict(dictionary == nullptr ? kEmpty : *dictionary, where);
  if (dict.Find("full_attention") != nullptr || dict.Find("sliding_attention") != nullptr) {
    return InvalidArgument(where, ": a rope by layer type is for gemma3; expected one object");
  }
  dict.Positive("rope_theta", &rope->theta);
  dict.Positive("partial_rotary_factor", &rope->partial_rotary_factor);
  ANAM_RETURN_IF_ERROR(ReadType(&dict, shape, rope));
  if (rope->partial_rotary_factor != 1.0 && !shape.may_be_partial) {
    return Unimplemented(where, ": partial_rotary_factor: ", rope->partial_rotary_factor,
                         " is not built for ", shape.model_type, "; supported: 1.0");
  }
  const int64_t rotated =
      rope->partial_rotary_factor > 1 ? shape.head_dim + 1 : RotaryDim(*rope, shape.head_dim);
  if (rotated < 2 || rotated > shape.head_dim || rotated % 2 != 0) {
    return InvalidArgument(where, ": a rotated width of ", rotated, " of head_dim ", shape.head_dim,
                           ": expected an even number from 2 to head_dim");
  }
  return ReadTypeFields(&dict, shape, rope);
}

Json ToJson(const RopeConfig& rope) {
  Json out = {{"rope_type", rope.type}, {"rope_theta", rope.theta}};
  if (rope.partial_rotary_factor != 1.0) out["partial_rotary_factor"] = rope.partial_rotary_factor;
  if (rope.type == "default") return out;
  if (rope.type != "longrope") out["factor"] = rope.factor;
  if (rope.original_max_position_embeddings > 0) {
    out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  if (rope.type == "llama3") {
    out["low_freq_factor"] = rope.low_freq_factor;
    out["high_freq_factor"] = rope.high_freq_factor;
  } else if (rope.type == "longrope") {
    out["short_factor"] = rope.short_factor;
    out["long_factor"] = rope.long_factor;
    out["attention_factor"] = rope.attention_factor;
  } else if (rope.type == "yarn") {
    out["beta_fast"] = rope.beta_fast;
    out["beta_slow"] = rope.beta_slow;
    out["truncate"] = rope.truncate;
    out["attention_factor"] = rope.attention_factor;
  }
  return out;
}

}  // namespace anamnesis::model
