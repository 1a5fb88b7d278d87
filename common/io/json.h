// SPDX-License-Identifier: Apache-2.0
// JSON documents by nlohmann::json, with its exceptions turned into statuses.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace anamnesis {

using Json = nlohmann::json;

// Parses `text`, at most 256 levels deep; `source` (a path or a name) goes into the error:
// kInvalidArgument, with the byte of a syntax error. The text itself is never quoted.
StatusOr<Json> ParseJson(std::string_view text, const std::string& source);
StatusOr<Json> ReadJsonFile(const std::string& path);

// Member access with the expected type; kInvalidArgument names `source`, the key and what was
// found.
StatusOr<std::string> JsonString(const Json& object, const std::string& key,
                                 const std::string& source);
StatusOr<int64_t> JsonInt(const Json& object, const std::string& key, const std::string& source);
StatusOr<double> JsonNumber(const Json& object, const std::string& key, const std::string& source);
StatusOr<bool> JsonBool(const Json& object, const std::string& key, const std::string& source);

}  // namespace anamnesis
