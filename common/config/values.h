// SPDX-License-Identifier: Apache-2.0
// One YAML value as the JSON value that its row of the schema says. Numbers may come in quotes and
// in the forms that YAML 1.1 libraries write (2e-5, +3, 1_000); integers with a leading zero are
// refused because YAML 1.1 reads them as octal. Thread-safe (no state).
#pragma once

#include <optional>
#include <string>

#include "common/config/schema.h"
#include "common/config/yaml_document.h"

namespace anamnesis::config {

// Why a value does not fit, at the node that is to blame (an item of a list).
struct Mismatch {
  int line = 0;
  int column = 0;
  std::string text;  // "expected an integer ≥ 1, found 'many'"
};

// The typed value, or nothing with `mismatch` filled. `node` is not kNull. Relative paths are taken
// against `working_directory`.
std::optional<Json> ConvertValue(const KeyRow& row, const YamlNode& node,
                                 const std::string& working_directory, Mismatch& mismatch);

std::optional<int64_t> ParseInteger(const std::string& text);
std::optional<double> ParseNumber(const std::string& text);  // finite

}  // namespace anamnesis::config
