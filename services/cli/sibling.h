// SPDX-License-Identifier: Apache-2.0
// Programs of ours that lie beside this one.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::cli {

// Becomes the program `name` from this executable's own folder, with `arguments` (the program's
// name not among them), the same standard streams and environment, OMP_WAIT_POLICY passive where it
// is not set; its exit code is this process's. Returns only on failure: kNotFound when it is not
// there, kInternal otherwise.
Status BecomeSibling(const std::string& name, const std::vector<std::string>& arguments);

}  // namespace anamnesis::cli
