// SPDX-License-Identifier: Apache-2.0
// What a grant means as the options of a run.
#pragma once

#include <string>

#include "anamnesis/v1/worker_service.pb.h"
#include "workers/agent/run_options.h"

namespace anamnesis::agent {

// Enters the job's working directory and writes its configuration into the job's folder.
StatusOr<RunOptions> OptionsOf(const v1::Grant& grant, const std::string& job_id);

}  // namespace anamnesis::agent
