// SPDX-License-Identifier: Apache-2.0
// Added tokens of a tokenizer without tokenizer.json: the special ones by role, and those that a
// directory lists. As transformers 5.23 collects them. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"

namespace anamnesis::text {

struct AddedToken {
  std::string content;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;
  bool special = true;
};

// tokenizer_config.json over special_tokens_map.json; keys that neither has are absent.
StatusOr<Json> ReadTokenizerSettings(const std::string& directory);

// A boolean of the settings; `absent` where the key is absent or null.
StatusOr<bool> BoolSetting(const Json& settings, const std::string& key, bool absent);

class AddedTokens {
 public:
  // `vocabulary`: ids of the model's own tokens, which must outlive this.
  explicit AddedTokens(const std::map<std::string, int64_t>& vocabulary)
      : vocabulary_(vocabulary) {}

  // The listed tokens: added_tokens_decoder of the settings, else added_tokens.json.
  // kInvalidArgument when an id is taken by another token.
  Status ReadListed(const std::string& directory, const Json& settings);
  // The token of a role ("cls_token"), spelled as the settings say; null there is none. A token
  // that is not in the vocabulary gets the next id, as transformers gives it.
  Status AddRole(const Json& settings, const std::string& role, const std::string& absent);
  // additional_special_tokens (its newer name: extra_special_tokens).
  Status AddFurther(const Json& settings);

  // Content and id of a role; "" and -1 where there is none.
  const std::string& ContentOf(const std::string& role) const;
  int64_t IdOf(const std::string& content) const;

  // The list `added_tokens` of a tokenizer.json, by id.
  Json ToJson() const;

 private:
  Status Add(const AddedToken& token);

  const std::map<std::string, int64_t>& vocabulary_;
  std::map<std::string, int64_t> ids_;    // of added tokens
  std::map<int64_t, AddedToken> tokens_;  // by id
  std::map<std::string, std::string> roles_;
};

}  // namespace anamnesis::text
