// SPDX-License-Identifier: Apache-2.0
// A JSON value as one line of YAML that every reader takes for the same value: flow style, texts in
// double quotes, and floats with a point, because YAML 1.1 (PyYAML) reads 2e-05 as a text. Pure.
#pragma once

#include <string>

#include "common/io/json.h"

namespace anamnesis::track {

std::string YamlText(const Json& value);

}  // namespace anamnesis::track
