// SPDX-License-Identifier: Apache-2.0
// The end of a run: what was reached, where it is, what to type next; for people on stderr, for
// programs in
// `.anamnesis/summary.json`.
#pragma once

#include <string>

#include "workers/agent/data_stage.h"
#include "workers/agent/progress.h"
#include "workers/gang/gang.h"

namespace anamnesis::agent {

struct SummaryInput {
  const RunFigures& figures;
  const gang::Outcome& outcome;
  const DataStage& data;
  std::string run_id = "";
  uint64_t attempt = 1;
  std::string output_directory = "";
  bool whole_model = false;  // not an adapter
  std::string tensorboard_directory = "";
  int64_t resumed_step = 0;
  int64_t steps_executed = 0;  // over all attempts
  int64_t wall_seconds = 0;
  std::string resume_command = "";
  std::string advice = "";  // of the restart rule; "" when the run is done
};

Json SummaryJson(const SummaryInput& input);
std::string SummaryText(const SummaryInput& input);

}  // namespace anamnesis::agent
