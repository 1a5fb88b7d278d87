// SPDX-License-Identifier: Apache-2.0
// JSON values as YAML text, keys in their order. Thread-safe (pure).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace anamnesis::cli {

// Block style; empty lists and maps as [] and {}; strings that YAML would read as something else
// (or that hold line breaks) in double quotes. Ends with a line break.
std::string YamlText(const nlohmann::ordered_json& value);

}  // namespace anamnesis::cli
