// SPDX-License-Identifier: Apache-2.0
#include "workers/text/special_tokens.h"

#include <algorithm>
#include <limits>

#include "common/io/file.h"

namespace anamnesis::text {
namespace {

StatusOr<Json> ReadObject(const std::string& path) {
  if (!PathExists(path)) return Json::object();
  ANAM_ASSIGN_OR_RETURN(Json json, ReadJsonFile(path));
  if (!json.is_object()) return InvalidArgument(path, ": expected a JSON object");
  return json;
}

// A string, or an object with `content` and flags.
StatusOr<AddedToken> TokenFrom(const Json& value, const std::string& key) {
  AddedToken token;
  if (value.is_string()) {
    token.content = value.get<std::string>();
  } else if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    token.content = value["content"].get<std::string>();
    for (const auto& [flag, target] : {std::pair{"single_word", &token.single_word},
                                       {"lstrip", &token.lstrip},
                                       {"rstrip", &token.rstrip},
                                       {"normalized", &token.normalized},
                                       {"special", &token.special}}) {
      ANAM_ASSIGN_OR_RETURN(*target, BoolSetting(value, flag, *target));
    }
  } else {
    return InvalidArgument(key, ": expected a string or an object with content");
  }
  if (token.content.empty()) return InvalidArgument(key, ": expected a token, found an empty text");
  return token;
}

}  // namespace

StatusOr<Json> ReadTokenizerSettings(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(Json settings, ReadObject(directory + "/tokenizer_config.json"));
  ANAM_ASSIGN_OR_RETURN(const Json map, ReadObject(directory + "/special_tokens_map.json"));
  for (const auto& [key, value] : map.items()) {
    if (!settings.contains(key)) settings[key] = value;
  }
  return settings;
}

StatusOr<bool> BoolSetting(const Json& settings, const std::string& key, bool absent) {
  const auto found = settings.find(key);
  if (found == settings.end() || found->is_null()) return absent;
  if (!found->is_boolean()) return InvalidArgument(key, ": expected true or false");
  return found->get<bool>();
}

Status AddedTokens::ReadListed(const std::string& directory, const Json& settings) {
  std::map<int64_t, AddedToken> listed;
  if (settings.contains("added_tokens_decoder")) {
    const Json& decoder = settings["added_tokens_decoder"];
    if (!decoder.is_object()) return InvalidArgument("added_tokens_decoder: expected an object");
    for (const auto& [key, value] : decoder.items()) {
      const bool is_id =
          !key.empty() && key.size() < 10 &&
          std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (!is_id) return InvalidArgument("added_tokens_decoder: expected ids as keys");
      ANAM_ASSIGN_OR_RETURN(listed[std::stoll(key)], TokenFrom(value, "added_tokens_decoder"));
    }
  } else {
    ANAM_ASSIGN_OR_RETURN(const Json added, ReadObject(directory + "/added_tokens.json"));
    for (const auto& [content, id] : added.items()) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > std::numeric_limits<int32_t>::max()) {
        return InvalidArgument("added_tokens.json: expected ids of tokens");
      }
      AddedToken token{.content = content, .normalized = true, .special = false};
      if (!listed.emplace(id.get<int64_t>(), std::move(token)).second) {
        return InvalidArgument("added_tokens.json: two tokens have the id ", id.get<int64_t>());
      }
    }
  }
  for (const auto& [id, token] : listed) {
    const auto own = vocabulary_.find(token.content);
    if (own != vocabulary_.end() ? own->second != id
                                 : id < static_cast<int64_t>(vocabulary_.size())) {
      return InvalidArgument("the added token of id ", id, " and the vocabulary disagree");
    }
    if (!ids_.emplace(token.content, id).second) {
      return InvalidArgument("the added token of id ", id, " is listed twice");
    }
    tokens_[id] = token;
  }
  return absl::OkStatus();
}

Status AddedTokens::AddRole(const Json& settings, const std::string& role,
                            const std::string& absent) {
  AddedToken token;
  token.content = absent;
  if (const auto found = settings.find(role); found != settings.end()) {
    if (found->is_null()) return absl::OkStatus();
    ANAM_ASSIGN_OR_RETURN(token, TokenFrom(*found, role));
  } else if (absent.empty()) {
    return absl::OkStatus();
  }
  token.special = true;
  roles_[role] = token.content;
  return Add(token);
}

Status AddedTokens::AddFurther(const Json& settings) {
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto found = settings.find(key);
    if (found == settings.end() || !found->is_array()) continue;
    for (const Json& value : *found) {
      ANAM_ASSIGN_OR_RETURN(AddedToken token, TokenFrom(value, key));
      token.special = true;
      ANAM_RETURN_IF_ERROR(Add(token));
    }
  }
  return absl::OkStatus();
}

// A token that is listed keeps its flags, and is special from now on.
Status AddedTokens::Add(const AddedToken& token) {
  if (const auto listed = ids_.find(token.content); listed != ids_.end()) {
    tokens_[listed->second].special = true;
    return absl::OkStatus();
  }
  int64_t id = IdOf(token.content);
  if (id < 0) {
    id = 0;
    for (const auto& [content, own] : vocabulary_) id = std::max(id, own + 1);
    if (!tokens_.empty()) id = std::max(id, tokens_.rbegin()->first + 1);
  }
  ids_[token.content] = id;
  tokens_[id] = token;
  return absl::OkStatus();
}

const std::string& AddedTokens::ContentOf(const std::string& role) const {
  static const std::string none;
  const auto found = roles_.find(role);
  return found == roles_.end() ? none : found->second;
}

int64_t AddedTokens::IdOf(const std::string& content) const {
  if (const auto added = ids_.find(content); added != ids_.end()) return added->second;
  const auto own = vocabulary_.find(content);
  return own == vocabulary_.end() ? -1 : own->second;
}

Json AddedTokens::ToJson() const {
  Json list = Json::array();
  for (const auto& [id, token] : tokens_) {
    list.push_back({{"id", id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return list;
}

}  // namespace anamnesis::text
