// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/generation_config.h"

#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/model/json_fields.h"

namespace anamnesis::infer {
namespace {

// Keys of GenerationConfig (transformers 5.23) that change the ids of a single greedy or sampled
// sequence, beside the value that changes nothing.
struct UnbuiltKey {
  const char* name;
  double neutral;  // of a number; lists, strings and objects are neutral when empty
};
constexpr UnbuiltKey kUnbuilt[] = {{"num_beams", 1},
                                   {"min_length", 0},
                                   {"min_new_tokens", 0},
                                   {"no_repeat_ngram_size", 0},
                                   {"guidance_scale", 1},
                                   {"forced_bos_token_id", -1},
                                   {"forced_eos_token_id", -1},
                                   {"penalty_alpha", 0},
                                   {"bad_words_ids", 0},
                                   {"suppress_tokens", 0},
                                   {"begin_suppress_tokens", 0},
                                   {"sequence_bias", 0},
                                   {"exponential_decay_length_penalty", 0},
                                   {"dola_layers", 0},
                                   {"watermarking_config", 0},
                                   {"stop_strings", 0}};

Status CheckBuilt(const model::JsonFields& fields) {
  for (const UnbuiltKey& key : kUnbuilt) {
    const Json* value = fields.Find(key.name);
    if (value == nullptr) continue;
    const bool neutral = value->is_number() ? value->get<double>() == key.neutral : value->empty();
    if (!neutral) {
      return Unimplemented(fields.source(), ": ", key.name,
                           ": a value is not built yet; remove the key");
    }
  }
  return absl::OkStatus();
}

Status ReadEosIds(const model::JsonFields& fields, std::vector<int64_t>* out) {
  const Json* value = fields.Find("eos_token_id");
  if (value == nullptr) return absl::OkStatus();
  const Json list = value->is_array() ? *value : Json::array({*value});
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      return InvalidArgument(fields.source(), ": key 'eos_token_id': expected an integer, a list ",
                             "of integers or null");
    }
    out->push_back(id.get<int64_t>());
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& directory,
                                                const model::ModelConfig& model) {
  GenerationConfig out;
  const std::string own = directory + "/generation_config.json";
  const bool has_own = PathExists(own);
  const std::string path = has_own ? own : directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  if (!json.is_object()) return InvalidArgument(path, ": expected a JSON object");
  model::JsonFields fields(json, path);
  fields.Positive("repetition_penalty", &out.repetition_penalty);
  ANAM_RETURN_IF_ERROR(fields.status());
  ANAM_RETURN_IF_ERROR(CheckBuilt(fields));
  if (has_own) {
    ANAM_RETURN_IF_ERROR(ReadEosIds(fields, &out.eos_token_ids));
  } else {
    out.eos_token_ids = model.eos_token_ids;
  }
  return out;
}

}  // namespace anamnesis::infer
