// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/object.h"

#include <cctype>

namespace anamnesis::launch {
namespace {

const Json& Null() {
  static const auto* null = new Json(nullptr);
  return *null;
}

}  // namespace

const Json& MemberOf(const Json& object, const char* name) {
  if (!object.is_object()) return Null();
  const auto found = object.find(name);
  return found == object.end() ? Null() : *found;
}

const Json& ValueAt(const Json& object, std::initializer_list<const char*> path) {
  const Json* at = &object;
  for (const char* name : path) at = &MemberOf(*at, name);
  return *at;
}

std::string TextAt(const Json& object, std::initializer_list<const char*> path) {
  const Json& value = ValueAt(object, path);
  return value.is_string() ? value.get_ref<const std::string&>() : "";
}

int64_t NumberAt(const Json& object, std::initializer_list<const char*> path) {
  const Json& value = ValueAt(object, path);
  return value.is_number_integer() ? value.get<int64_t>() : 0;
}

bool FlagAt(const Json& object, std::initializer_list<const char*> path) {
  const Json& value = ValueAt(object, path);
  return value.is_boolean() && value.get<bool>();
}

const Json& ConditionOf(const Json& object, const char* type) {
  const Json& conditions = ValueAt(object, {"status", "conditions"});
  if (!conditions.is_array()) return Null();
  for (const Json& condition : conditions) {
    if (TextAt(condition, {"type"}) == type && TextAt(condition, {"status"}) == "True") {
      return condition;
    }
  }
  return Null();
}

ApiStatus ApiStatusOf(const Json& object) {
  return {.code = NumberAt(object, {"code"}),
          .reason = OneLine(TextAt(object, {"reason"}), 100),
          .message = OneLine(TextAt(object, {"message"}), 1000),
          .retry_after_seconds = NumberAt(object, {"details", "retryAfterSeconds"})};
}

ApiStatus ApiStatusOfBody(std::string_view body) {
  const StatusOr<Json> json = ParseJson(body, "an answer");
  if (json.ok() && TextAt(*json, {"kind"}) == "Status") return ApiStatusOf(*json);
  return {.message = OneLine(body, 200)};
}

std::string OneLine(std::string_view text, size_t most) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      if (!line.empty() && line.back() != ' ') line += ' ';
    } else {
      line += c;
    }
    if (line.size() > most) break;
  }
  if (line.size() > most) {
    size_t end = most;  // not within a character of UTF-8
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    line.resize(end);
    line += "...";
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string QueryEscaped(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') {
      escaped += c;
    } else {
      escaped += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return escaped;
}

}  // namespace anamnesis::launch
