// SPDX-License-Identifier: Apache-2.0
#include "common/config/entries.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "common/config/nearest.h"
#include "common/config/values.h"

namespace anamnesis::config {
namespace {

using Kind = YamlNode::Kind;

constexpr size_t kMaxShownProblems = 50;

void SetValue(const KeyRow& row, const YamlNode& node, const Place& place, Entries& entries) {
  // `key:` and `key: null` mean what leaving the key out means.
  if (node.kind == Kind::kNull) return;
  Mismatch mismatch;
  std::optional<Json> value = ConvertValue(row, node, entries.working_directory, mismatch);
  if (!value) {
    Place blamed = place;
    if (blamed.line > 0 && mismatch.line > 0) {
      blamed.line = mismatch.line;
      blamed.column = mismatch.column;
    }
    return entries.Add(blamed, std::string(row.path), mismatch.text);
  }
  const std::string written =
      node.kind == Kind::kScalar ? Shorten(node.text) : Shorten(value->dump());
  entries.by_key[std::string(row.path)] = {&row, std::move(*value), written, place};
}

void AddUnknown(const std::string& path, const std::string& written, const Place& place,
                Entries& entries) {
  if (written.find('.') != std::string::npos && FindKey(written) != nullptr) {
    const std::string section = written.substr(0, written.find('.'));
    return entries.Add(place, Shorten(path),
                       Cat("unknown key: a section is a map, write '", section, ":' and below it '",
                           written.substr(section.size() + 1), ": ...'"));
  }
  const std::string near = NearestKey(path);
  entries.Add(place, Shorten(path),
              near.empty() ? "unknown key" : Cat("unknown key, did you mean ", near, "?"));
}

void ReadSection(const YamlNode& map, const std::string& prefix, const std::string& source,
                 Entries& entries) {
  std::set<std::string> seen;
  for (size_t i = 0; i < map.items.size(); ++i) {
    const YamlNode& key = map.keys[i];
    const YamlNode& value = map.items[i];
    const Place place = {source, key.line, key.column};
    if (key.kind != Kind::kScalar) {
      entries.Add(place, "", Cat("expected a key, found ", Describe(key)));
      continue;
    }
    const std::string path = prefix + key.text;
    if (!seen.insert(key.text).second) {
      entries.Add(place, Shorten(path), "set twice: remove one of the two");
      continue;
    }
    const KeyRow* row = FindKey(path);
    if (key.text.find('.') != std::string::npos) {
      AddUnknown(path, key.text, place, entries);
    } else if (row != nullptr) {
      SetValue(*row, value, place, entries);
    } else if (!IsSection(path)) {
      AddUnknown(path, key.text, place, entries);
    } else if (value.kind == Kind::kMap) {
      entries.sections[path] = place;
      ReadSection(value, path + ".", source, entries);
    } else if (value.kind != Kind::kNull) {
      entries.Add({source, value.line, value.column}, path,
                  Cat("expected a section (keys with values), found ", Describe(value)));
    }
  }
}

}  // namespace

const Entry* Entries::Find(std::string_view key) const {
  const auto it = by_key.find(key);
  return it == by_key.end() ? nullptr : &it->second;
}

Json Entries::ValueOf(const KeyRow& row) const {
  const Entry* entry = Find(row.path);
  return entry != nullptr ? entry->value : DefaultOf(row);
}

void Entries::Add(Place place, std::string key, std::string text) {
  problems.push_back({std::move(place), std::move(key), std::move(text)});
}

void ReadEntries(const YamlNode& root, const std::string& source, Entries& entries) {
  if (root.kind == Kind::kNull) return;
  if (root.kind != Kind::kMap) {
    return entries.Add({source, root.line, root.column}, "",
                       Cat("expected sections (model:, data:, ...), found ", Describe(root)));
  }
  ReadSection(root, "", source, entries);
}

void ApplyOverride(const std::string& text, Entries& entries) {
  const Place place = {"--set", 0, 0};
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return entries.Add(place, "", Cat("expected KEY=VALUE, found '", Shorten(text), "'"));
  }
  const std::string key = text.substr(0, equals);
  const KeyRow* row = FindKey(key);
  if (row == nullptr) {
    if (!IsSection(key)) return AddUnknown(key, "", place, entries);
    return entries.Add(place, key, Cat("is a section: set one of its keys, ", key, ".KEY=VALUE"));
  }
  StatusOr<YamlNode> value = ParseYaml(text.substr(equals + 1), Cat("--set ", key));
  if (!value.ok()) return entries.Add(place, "", MessageOf(value.status()));
  if (value->kind == Kind::kNull) {
    entries.by_key.erase(key);  // back to the default
    return;
  }
  const size_t dot = key.rfind('.');
  if (dot != std::string::npos) entries.sections.try_emplace(key.substr(0, dot), place);
  SetValue(*row, *value, place, entries);
}

std::string TextOf(std::vector<Problem> problems) {
  const std::vector<FieldViolation> violations = ViolationsOf(std::move(problems));
  std::string text;
  for (size_t i = 0; i < violations.size() && i < kMaxShownProblems; ++i) {
    if (i > 0) text += '\n';
    text += violations[i].description;
  }
  if (violations.size() > kMaxShownProblems) {
    text += Cat("\nand ", violations.size() - kMaxShownProblems, " more problems");
  }
  return text;
}

std::vector<FieldViolation> ViolationsOf(std::vector<Problem> problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    const auto order = [](const Place& place) {
      return std::tuple(place.line == 0, place.line, place.column);
    };
    return order(a.place) < order(b.place);
  });
  std::vector<FieldViolation> violations;
  for (const Problem& problem : problems) {
    std::string line = problem.place.source;
    if (problem.place.line > 0) line += Cat(":", problem.place.line, ":", problem.place.column);
    if (!problem.key.empty()) line += Cat(": ", problem.key);
    violations.push_back({problem.key, Cat(line, ": ", problem.text)});
  }
  return violations;
}

}  // namespace anamnesis::config
