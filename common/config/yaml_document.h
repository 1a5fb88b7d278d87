// SPDX-License-Identifier: Apache-2.0
// A YAML document as a tree with the line and column of every node, read through yaml-cpp's events.
// Bounded: size, depth, and nodes and bytes after aliases are expanded. Thread-compatible.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::config {

inline constexpr size_t kMaxYamlBytes = 1 << 20;
inline constexpr int kMaxYamlDepth = 32;
inline constexpr size_t kMaxYamlNodes = 20'000;

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  int line = 0;  // from 1; 0 where there is no place
  int column = 0;
  bool quoted = false;          // a scalar in quotes or a block
  std::string text;             // of a scalar
  std::vector<YamlNode> items;  // of a sequence, or the values of a map
  std::vector<YamlNode> keys;   // of a map: keys[i] belongs to items[i]
};

// "a list", "a map", "the text 'abc'": what was found, for errors; long texts are cut.
std::string Describe(const YamlNode& node);

// `text` as one line that fits into an error: control characters become '?', long texts are cut.
std::string Shorten(std::string_view text);

// One document; an empty text is a kNull node. kInvalidArgument "SOURCE:LINE:COLUMN: what" for text
// that is not UTF-8 or not YAML, tags, aliases without an anchor, several documents, too deep, too
// many nodes or bytes.
StatusOr<YamlNode> ParseYaml(const std::string& text, const std::string& source);

// The text of a regular file of at most kMaxYamlBytes.
StatusOr<std::string> ReadYamlFile(const std::string& path);

}  // namespace anamnesis::config
