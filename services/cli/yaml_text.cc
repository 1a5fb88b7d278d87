// SPDX-License-Identifier: Apache-2.0
#include "services/cli/yaml_text.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

namespace anamnesis::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Whether any YAML reader (1.1 or 1.2) takes the bare text as this string.
bool IsPlain(const std::string& text) {
  static const std::set<std::string_view>* const words =
      new std::set<std::string_view>{"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) == 0) {
    return text.starts_with('/') && text.find_first_not_of("/") != std::string::npos &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) {
             return std::isalnum(c) != 0 || c == '_' || c == '/' || c == '.' || c == '-';
           });
  }
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return !words->contains(lower) && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '/' || c == '.' || c == '-';
  });
}

std::string ScalarText(const OrderedJson& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (IsPlain(text)) return text;
  }
  if (value.is_number_float() && value.dump() == "null") return ".nan";
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

bool IsNested(const OrderedJson& value) { return value.is_structured() && !value.empty(); }

void Append(const OrderedJson& value, size_t indent, bool first_on_line, std::string& out) {
  bool first = first_on_line;
  const auto start = [&] {
    if (!first) out.append(indent, ' ');
    first = false;
  };
  if (!IsNested(value)) {
    start();
    out += ScalarText(value) + "\n";
  } else if (value.is_array()) {
    for (const OrderedJson& item : value) {
      start();
      out += "- ";
      Append(item, indent + 2, true, out);
    }
  } else {
    for (const auto& [key, item] : value.items()) {
      start();
      out += ScalarText(key) + ":";
      if (IsNested(item)) {
        out += "\n";
        Append(item, indent + 2, false, out);
      } else {
        out += " " + ScalarText(item) + "\n";
      }
    }
  }
}

}  // namespace

std::string YamlText(const OrderedJson& value) {
  std::string out;
  Append(value, 0, false, out);
  return out;
}

}  // namespace anamnesis::cli
