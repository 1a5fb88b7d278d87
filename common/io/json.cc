// SPDX-License-Identifier: Apache-2.0
#include "common/io/json.h"

#include "common/io/file.h"

namespace anamnesis {
namespace {

constexpr int kMaxDepth = 256;  // copies and dumps of a document recurse

// Whether lists and objects nest too deep; brackets inside of strings do not count.
bool IsTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size() && depth <= kMaxDepth; ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      i += c == '\\' ? 1 : 0;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return depth > kMaxDepth;
}

// The member, or an error that names what was expected.
StatusOr<const Json*> Member(const Json& object, const std::string& key, const std::string& source,
                             bool (Json::*is_type)() const noexcept, const char* expected) {
  if (!object.is_object()) return InvalidArgument(source, ": expected a JSON object");
  const auto it = object.find(key);
  if (it == object.end()) return InvalidArgument(source, ": key '", key, "' is missing");
  if (!((*it).*is_type)()) {
    return InvalidArgument(source, ": key '", key, "': expected ", expected, ", found ",
                           it->type_name());
  }
  return &*it;
}

}  // namespace

StatusOr<Json> ParseJson(std::string_view text, const std::string& source) {
  if (IsTooDeep(text)) {
    return InvalidArgument(source, ": nested deeper than ", kMaxDepth, " levels");
  }
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::parse_error& error) {
    return InvalidArgument(source, ": not valid JSON at byte ", error.byte);
  } catch (const Json::out_of_range&) {
    return InvalidArgument(source, ": a number is out of range");
  }
}

StatusOr<Json> ReadJsonFile(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

StatusOr<std::string> JsonString(const Json& object, const std::string& key,
                                 const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json* value,
                        Member(object, key, source, &Json::is_string, "a string"));
  return value->get<std::string>();
}

StatusOr<int64_t> JsonInt(const Json& object, const std::string& key, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json* value,
                        Member(object, key, source, &Json::is_number_integer, "an integer"));
  return value->get<int64_t>();
}

StatusOr<double> JsonNumber(const Json& object, const std::string& key, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json* value,
                        Member(object, key, source, &Json::is_number, "a number"));
  return value->get<double>();
}

StatusOr<bool> JsonBool(const Json& object, const std::string& key, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json* value,
                        Member(object, key, source, &Json::is_boolean, "true or false"));
  return value->get<bool>();
}

}  // namespace anamnesis
