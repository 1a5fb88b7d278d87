// SPDX-License-Identifier: Apache-2.0
// DATA/coordinator.json: which process serves this data directory. A pid alone may have been given
// to another process since; the time it was started tells. Thread-safe.
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/process/identity.h"

namespace anamnesis::cli {

struct CoordinatorProcess {
  ProcessIdentity identity;
  std::string address;
  std::string version;
};

// kNotFound "no coordinator runs here" where there is no file or its process is gone;
// kInvalidArgument for a damaged file.
StatusOr<CoordinatorProcess> FindCoordinator(const std::string& data_directory);

}  // namespace anamnesis::cli
