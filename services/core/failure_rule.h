// SPDX-License-Identifier: Apache-2.0
// What becomes of a job after a failure. A mistake of the user, too little memory and a defect of
// ours would come again: the job ends, as rejected when not one step was ever made of a wrong
// input. A poison job, whose last `equal_failures` failures have the same reason and last step,
// ends as well, but no job because a disk is full, or because the engine took its nodes. What
// somebody cancelled in the engine ends, too. Everything else is tried again after retry_base,
// doubled with each failure in a row, up to retry_limit. Pure.
#pragma once

#include <string>

#include "services/core/state.h"

namespace anamnesis::core {

struct Verdict {
  JobState next = JobState::kRecovering;  // or kFailed, kRejected
  Reason reason = Reason::kRankFailed;
  std::string message;
  absl::Duration retry_in;  // when kRecovering
};

// `job.failures` ends with the failure to judge.
Verdict JudgeFailure(const Job& job, const Options& options);

// May a worker say that it failed for this reason?
bool IsFailureReason(Reason reason);

}  // namespace anamnesis::core
