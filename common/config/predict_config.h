// SPDX-License-Identifier: Apache-2.0
// The configuration of `anamnesis predict`, which runs here; as a job of a coordinator the task is
// not built yet.
#pragma once

#include <string>
#include <vector>

#include "common/config/job_config.h"

namespace anamnesis::config {

// As LoadDataConfig, but data.labels_filepath may be absent.
StatusOr<JobConfig> LoadPredictConfig(const std::string& path,
                                      const std::vector<std::string>& overrides);

}  // namespace anamnesis::config
