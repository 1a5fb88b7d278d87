// SPDX-License-Identifier: Apache-2.0
// The keys that a user set, typed, each with the place it was set at; and the problems met on the
// way. Thread-compatible.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/config/field_violations.h"
#include "common/config/schema.h"
#include "common/config/yaml_document.h"

namespace anamnesis::config {

struct Place {
  std::string source;  // path of the file, or "--set"
  int line = 0;        // from 1; 0: no line (--set)
  int column = 0;
};

struct Entry {
  const KeyRow* row = nullptr;
  Json value;
  std::string written;  // the value as the user wrote it, for messages
  Place place;          // of the key; for an override "--set"
};

struct Problem {
  Place place;
  std::string key;  // dotted, or ""
  std::string text;
};

struct Entries {
  std::string working_directory;  // absolute; relative paths are taken against it
  std::map<std::string, Entry, std::less<>> by_key;
  std::map<std::string, Place, std::less<>> sections;
  std::vector<Problem> problems;

  const Entry* Find(std::string_view key) const;
  // The value that was set, or the schema's default.
  Json ValueOf(const KeyRow& row) const;
  void Add(Place place, std::string key, std::string text);
};

// Reads a document's keys; unknown and repeated keys and wrong values become problems.
void ReadEntries(const YamlNode& root, const std::string& source, Entries& entries);

// One KEY=VALUE of --set; the value is YAML. A later one of the same key wins.
void ApplyOverride(const std::string& text, Entries& entries);

// "FILE:LINE:COLUMN: key: what", a line each, in the order of the file; long lists are cut.
std::string TextOf(std::vector<Problem> problems);
// The same lines, each with its key, none left out.
std::vector<FieldViolation> ViolationsOf(std::vector<Problem> problems);

}  // namespace anamnesis::config
