// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/stream_spec.h"

#include <algorithm>
#include <limits>

#include "common/base/sha256.h"

namespace anamnesis::stream {

// Flat, by configuration key: nlohmann sorts the keys, so dump() is canonical.
Json ToJson(const StreamSpec& spec) {
  Json json = {{"data.profile", spec.profile},
               {"data.time_mode", spec.time_mode},
               {"data.cutoff_months", spec.cutoff_months},
               {"data.apply_to", spec.apply_to},
               {"data.boundary", spec.boundary},
               {"data.on_missing_date", spec.on_missing_date},
               {"model.max_length", spec.max_length},
               {"tokenizer", spec.tokenizer_sha256}};
  if (spec.is_packed()) return json;
  json["rows"] = spec.rows;
  json["data.truncation"] = spec.truncation;
  json["model.num_classes"] = spec.class_sites;
  if (!spec.has_prompt()) return json;
  json["data.prompt.template"] = spec.prompt.text_template;
  json["data.prompt.question"] = spec.prompt.question;
  json["data.prompt.answers"] = spec.prompt.answers;
  return json;
}

namespace {

StatusOr<std::vector<std::string>> ReadTexts(const Json& json, const char* key, const char* what,
                                             const std::string& source) {
  const auto list = json.find(key);
  const bool right =
      list != json.end() && list->is_array() &&
      std::all_of(list->begin(), list->end(), [](const Json& text) { return text.is_string(); });
  if (!right) return InvalidArgument(source, ": ", key, ": expected a list of ", what);
  return list->get<std::vector<std::string>>();
}

}  // namespace

StatusOr<StreamSpec> StreamSpecFromJson(const Json& json, const std::string& source) {
  StreamSpec spec;
  const auto read_int = [&](const char* key, int* value) -> Status {
    ANAM_ASSIGN_OR_RETURN(const int64_t wide, JsonInt(json, key, source));
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
      return InvalidArgument(source, ": ", key, ": ", wide, " is out of range");
    }
    *value = static_cast<int>(wide);
    return absl::OkStatus();
  };
  ANAM_ASSIGN_OR_RETURN(spec.profile, JsonString(json, "data.profile", source));
  ANAM_ASSIGN_OR_RETURN(spec.time_mode, JsonString(json, "data.time_mode", source));
  ANAM_RETURN_IF_ERROR(read_int("data.cutoff_months", &spec.cutoff_months));
  ANAM_ASSIGN_OR_RETURN(spec.apply_to, JsonString(json, "data.apply_to", source));
  ANAM_ASSIGN_OR_RETURN(spec.boundary, JsonString(json, "data.boundary", source));
  ANAM_ASSIGN_OR_RETURN(spec.on_missing_date, JsonString(json, "data.on_missing_date", source));
  ANAM_RETURN_IF_ERROR(read_int("model.max_length", &spec.max_length));
  ANAM_ASSIGN_OR_RETURN(spec.tokenizer_sha256, JsonString(json, "tokenizer", source));
  if (!json.contains("rows")) return spec;
  ANAM_ASSIGN_OR_RETURN(spec.rows, JsonString(json, "rows", source));
  if (spec.rows != "documents" && spec.rows != "prompts") {
    return InvalidArgument(source,
                           ": rows: expected documents or prompts, or no such key for packed rows");
  }
  ANAM_ASSIGN_OR_RETURN(spec.truncation, JsonString(json, "data.truncation", source));
  ANAM_ASSIGN_OR_RETURN(spec.class_sites, ReadTexts(json, "model.num_classes", "sites", source));
  if (!spec.has_prompt()) return spec;
  Prompt& prompt = spec.prompt;
  ANAM_ASSIGN_OR_RETURN(prompt.text_template, JsonString(json, "data.prompt.template", source));
  ANAM_ASSIGN_OR_RETURN(prompt.question, JsonString(json, "data.prompt.question", source));
  ANAM_ASSIGN_OR_RETURN(prompt.answers, ReadTexts(json, "data.prompt.answers", "texts", source));
  ANAM_RETURN_IF_ERROR(AddContext(CheckPrompt(prompt), source));
  return spec;
}

std::string StreamDigest(const StreamSpec& spec) { return Sha256Hex(ToJson(spec).dump()); }

std::vector<std::string> ChangedKeys(const StreamSpec& before, const StreamSpec& after) {
  const Json old_values = ToJson(before);
  const Json new_values = ToJson(after);
  std::vector<std::string> changed;
  for (const auto& [key, value] : old_values.items()) {
    if (!new_values.contains(key) || new_values[key] != value) changed.push_back(key);
  }
  for (const auto& [key, value] : new_values.items()) {
    if (!old_values.contains(key)) changed.push_back(key);
  }
  return changed;
}

}  // namespace anamnesis::stream
