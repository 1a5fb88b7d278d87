// SPDX-License-Identifier: Apache-2.0
#include "workers/text/eos.h"

#include <limits>

#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::text {
namespace {

StatusOr<Json> ReadIfPresent(const std::string& path) {
  if (!PathExists(path)) return Json::object();
  ANAM_ASSIGN_OR_RETURN(Json json, ReadJsonFile(path));
  if (!json.is_object()) return InvalidArgument(path, ": expected a JSON object");
  return json;
}

// The value of eos_token; nothing when the key is absent or null.
StatusOr<std::optional<std::string>> EosToken(const Json& json, const std::string& path) {
  if (!json.contains("eos_token") || json["eos_token"].is_null()) return std::nullopt;
  const Json& value = json["eos_token"];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  return InvalidArgument(path, ": eos_token: expected a string or an object with content");
}

StatusOr<std::optional<int32_t>> EosTokenId(const Json& json, const std::string& path) {
  if (!json.contains("eos_token_id") || json["eos_token_id"].is_null()) return std::nullopt;
  const Json& value = json["eos_token_id"];
  if (value.is_array() && value.empty()) return std::nullopt;
  const Json& first = value.is_array() ? value[0] : value;
  if (!first.is_number_integer()) {
    return InvalidArgument(path, ": eos_token_id: expected an id or a list of ids");
  }
  const int64_t id = first.get<int64_t>();
  if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(path, ": eos_token_id: ", id, " is not a token id");
  }
  return static_cast<int32_t>(id);
}

}  // namespace

StatusOr<int32_t> ReadEosId(
    const std::string& directory,
    const std::function<std::optional<int32_t>(const std::string&)>& id_of_token) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string path = Cat(directory, "/", name);
    ANAM_ASSIGN_OR_RETURN(const Json json, ReadIfPresent(path));
    ANAM_ASSIGN_OR_RETURN(const std::optional<std::string> token, EosToken(json, path));
    if (!token.has_value()) continue;
    const std::optional<int32_t> id = id_of_token(*token);
    if (!id.has_value()) {
      return InvalidArgument(path, ": eos_token is not in the vocabulary of tokenizer.json");
    }
    return *id;
  }
  const std::string path = Cat(directory, "/config.json");
  ANAM_ASSIGN_OR_RETURN(const Json config, ReadIfPresent(path));
  ANAM_ASSIGN_OR_RETURN(const std::optional<int32_t> id, EosTokenId(config, path));
  if (id.has_value()) return *id;
  return InvalidArgument(directory,
                         ": no end-of-document token: neither tokenizer_config.json nor "
                         "special_tokens_map.json has eos_token, config.json has no eos_token_id");
}

}  // namespace anamnesis::text
