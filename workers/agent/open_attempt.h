// SPDX-License-Identifier: Apache-2.0
// What is in the output folder, and what this attempt does with it.
#pragma once

#include <cstdint>
#include <string>

#include "workers/agent/attempts.h"
#include "workers/agent/checked.h"
#include "workers/agent/output_directory.h"

namespace anamnesis::agent {

struct Attempt {
  OutputDirectory output;
  RunRecord record;
  std::string checkpoint;  // to continue from, or ""
  int64_t resumed_step = 0;
  int64_t executed_before = 0;
  bool complete = false;  // the run has already ended well: nothing to do
};

// Would OpenAttempt accept the folder? Changes nothing.
Status CheckOutput(const RunOptions& options, const std::string& directory, bool overwrite);

// Takes the folder and writes the run's record. A run of the service continues its own folder
// (that carries its run id), whatever `resume` says.
StatusOr<Attempt> OpenAttempt(const RunOptions& options, const Checked& checked);

}  // namespace anamnesis::agent
