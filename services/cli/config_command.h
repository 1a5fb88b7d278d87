// SPDX-License-Identifier: Apache-2.0
// `anamnesis config explain KEY | schema | check CONFIG.yaml --task TASK`.
#pragma once

#include <string>
#include <vector>

namespace anamnesis::cli {

// `arguments` are the words after `config`. Prints and returns the exit code.
int RunConfigCommand(const std::vector<std::string>& arguments);

}  // namespace anamnesis::cli
