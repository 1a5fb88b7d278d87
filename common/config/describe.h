// SPDX-License-Identifier: Apache-2.0
// The schema told to people and tools: one key explained, the reference in Markdown
// (docs/configuration.md), JSON Schema draft 2020-12. Thread-safe (constant data).
#pragma once

#include <string>

#include "common/io/json.h"

namespace anamnesis::config {

// A key's type, default, tasks and meaning, or a section's keys. kNotFound names the nearest key.
StatusOr<std::string> ExplainKey(const std::string& key);

// The whole text of docs/configuration.md.
std::string SchemaMarkdown();

nlohmann::ordered_json JsonSchema();

}  // namespace anamnesis::config
