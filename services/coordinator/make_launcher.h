// SPDX-License-Identifier: Apache-2.0
// The launcher that `anamnesis up --launcher` names.
#pragma once

#include <memory>

#include "services/coordinator/up_options.h"
#include "services/launch/launcher.h"

namespace anamnesis::coordinator {

// kInvalidArgument: a setting (--engine) that the launcher does not have, or a wrong value.
StatusOr<std::unique_ptr<launch::Launcher>> MakeLauncher(const UpOptions& options);

}  // namespace anamnesis::coordinator
