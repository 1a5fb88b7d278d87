// SPDX-License-Identifier: Apache-2.0
// Programs of ours lie in one folder.
#pragma once

#include <string>

#include "common/base/status.h"

namespace anamnesis {

// The path of a program beside this one. kNotFound when it is not there.
StatusOr<std::string> SiblingProgram(const std::string& name);

}  // namespace anamnesis
