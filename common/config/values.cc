// SPDX-License-Identifier: Apache-2.0
#include "common/config/values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "common/config/nearest.h"

namespace anamnesis::config {
namespace {

using Kind = YamlNode::Kind;

// Without the sign '+' and without underscores between digits; nothing for other odd forms.
std::optional<std::string> PlainNumber(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_digit = [&](size_t at) {
      return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
    };
    if (text[i] == '+' && i == 0 && text.size() > 1 && text[1] != '-') continue;
    if (text[i] == '_') {
      if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) return std::nullopt;
      continue;
    }
    plain += text[i];
  }
  if (plain.empty()) return std::nullopt;
  return plain;
}

bool HasLeadingZero(const std::string& plain) {
  const size_t first = plain[0] == '-' ? 1 : 0;
  return plain.size() > first + 1 && plain[first] == '0' &&
         std::all_of(plain.begin() + static_cast<std::ptrdiff_t>(first), plain.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::optional<bool> ParseBool(const YamlNode& node) {
  if (node.quoted) return std::nullopt;
  const auto is = [&](std::string_view lower, std::string_view title, std::string_view upper) {
    return node.text == lower || node.text == title || node.text == upper;
  };
  if (is("true", "True", "TRUE") || is("yes", "Yes", "YES") || is("on", "On", "ON")) return true;
  if (is("false", "False", "FALSE") || is("no", "No", "NO") || is("off", "Off", "OFF")) {
    return false;
  }
  return std::nullopt;
}

bool InRange(const Range& range, double value) {
  if (value < range.min || (range.above_min && value == range.min)) return false;
  return !(value > range.max || (range.below_max && value == range.max));
}

bool HasControlCharacter(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
  });
}

// Converts one key's value; the first mismatch stops it.
class Converter {
 public:
  Converter(const KeyRow& row, const std::string& working_directory, Mismatch& mismatch)
      : row_(row), working_directory_(working_directory), mismatch_(mismatch) {}

  std::optional<Json> Convert(const YamlNode& node) {
    switch (row_.type) {
      case ValueType::kString:
        return Text(node);
      case ValueType::kPath:
        return Path(node);
      case ValueType::kInt:
        return Integer(node);
      case ValueType::kFloat:
        return Number(node);
      case ValueType::kBool: {
        const std::optional<bool> value =
            node.kind == Kind::kScalar ? ParseBool(node) : std::nullopt;
        return value ? std::optional<Json>(*value) : Wrong(node);
      }
      case ValueType::kEnum:
        return Choice(node);
      case ValueType::kStringList:
        return List(node, &Converter::Text);
      case ValueType::kStringOrList:
        return node.kind == Kind::kScalar ? Text(node) : List(node, &Converter::Text);
      case ValueType::kNumberList:
        return List(node, &Converter::Number);
      case ValueType::kIntMap:
        return Map(node, &Converter::Integer);
      case ValueType::kFloatMap:
        return Map(node, &Converter::Number);
      case ValueType::kStringMap:
        return Map(node, &Converter::Text);
      case ValueType::kIntOrRange:
        return node.kind == Kind::kMap ? IntegerRange(node) : Integer(node);
    }
    return Wrong(node);
  }

 private:
  using Item = std::optional<Json> (Converter::*)(const YamlNode&);

  std::optional<Json> Wrong(const YamlNode& node, const std::string& more = "") {
    mismatch_ = {node.line, node.column,
                 Cat("expected ", ExpectedOf(row_), ", found ", Describe(node), more)};
    return std::nullopt;
  }

  std::optional<Json> Text(const YamlNode& node) {
    if (node.kind != Kind::kScalar) return Wrong(node);
    if (node.text.empty()) return Wrong(node, " (empty)");
    if (HasControlCharacter(node.text)) return Wrong(node, " (control character)");
    return node.text;
  }

  std::optional<Json> Path(const YamlNode& node) {
    const std::optional<Json> text = Text(node);
    if (!text) return text;
    if (node.text.find_first_of("\n\t") != std::string::npos) {
      return Wrong(node, " (control character)");
    }
    const std::filesystem::path absolute = std::filesystem::path(working_directory_) / node.text;
    std::string path = absolute.lexically_normal().string();
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
  }

  std::optional<Json> Integer(const YamlNode& node) {
    if (node.kind != Kind::kScalar) return Wrong(node);
    const std::optional<std::string> plain = PlainNumber(node.text);
    if (plain && HasLeadingZero(*plain)) {
      return Wrong(node, " (YAML 1.1 reads a leading zero as octal: write it without)");
    }
    const std::optional<int64_t> value = ParseInteger(node.text);
    if (!value || !InRange(row_.range, static_cast<double>(*value))) return Wrong(node);
    return *value;
  }

  std::optional<Json> Number(const YamlNode& node) {
    if (node.kind != Kind::kScalar) return Wrong(node);
    const std::optional<double> value = ParseNumber(node.text);
    if (!value || !InRange(row_.range, *value)) return Wrong(node);
    return *value;
  }

  std::optional<Json> Choice(const YamlNode& node) {
    if (node.kind != Kind::kScalar) return Wrong(node);
    const std::vector<std::string> choices = SplitChoices(row_.choices);
    if (std::find(choices.begin(), choices.end(), node.text) != choices.end()) return node.text;
    const std::string near = Nearest(node.text, choices);
    return Wrong(node, near.empty() ? "" : Cat(", did you mean ", near, "?"));
  }

  std::optional<Json> List(const YamlNode& node, Item item) {
    if (node.kind != Kind::kSequence) return Wrong(node);
    Json list = Json::array();
    for (const YamlNode& element : node.items) {
      std::optional<Json> value = (this->*item)(element);
      if (!value) return std::nullopt;
      list.push_back(std::move(*value));
    }
    return list;
  }

  std::optional<Json> Map(const YamlNode& node, Item item) {
    if (node.kind != Kind::kMap) return Wrong(node);
    Json map = Json::object();
    for (size_t i = 0; i < node.items.size(); ++i) {
      const YamlNode& key = node.keys[i];
      if (key.kind != Kind::kScalar || key.text.empty() || HasControlCharacter(key.text)) {
        return Wrong(key, " as a name");
      }
      if (map.contains(key.text)) return Wrong(key, " twice");
      std::optional<Json> value = (this->*item)(node.items[i]);
      if (!value) return std::nullopt;
      map[key.text] = std::move(*value);
    }
    return map;
  }

  std::optional<Json> IntegerRange(const YamlNode& node) {
    std::optional<Json> range = Map(node, &Converter::Integer);
    if (!range) return range;
    if (range->size() != 2 || !range->contains("min") || !range->contains("max")) {
      return Wrong(node, " without exactly the keys min and max");
    }
    if ((*range)["min"] > (*range)["max"]) return Wrong(node, " whose min is above its max");
    return range;
  }

  const KeyRow& row_;
  const std::string& working_directory_;
  Mismatch& mismatch_;
};

}  // namespace

std::optional<int64_t> ParseInteger(const std::string& text) {
  const std::optional<std::string> plain = PlainNumber(text);
  if (!plain) return std::nullopt;
  int64_t value = 0;
  const char* end = plain->data() + plain->size();
  const auto [stop, error] = std::from_chars(plain->data(), end, value);
  if (error == std::errc() && stop == end) return value;
  // 1e3 and 4.0 are integers too, as far as a double holds them exactly.
  const std::optional<double> number = ParseNumber(text);
  if (!number || std::floor(*number) != *number || std::fabs(*number) > 9007199254740992.0) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*number);
}

std::optional<double> ParseNumber(const std::string& text) {
  const std::optional<std::string> plain = PlainNumber(text);
  if (!plain) return std::nullopt;
  double value = 0;
  const char* end = plain->data() + plain->size();
  const auto [stop, error] = std::from_chars(plain->data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<Json> ConvertValue(const KeyRow& row, const YamlNode& node,
                                 const std::string& working_directory, Mismatch& mismatch) {
  return Converter(row, working_directory, mismatch).Convert(node);
}

}  // namespace anamnesis::config
