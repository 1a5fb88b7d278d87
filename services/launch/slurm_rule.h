// SPDX-License-Identifier: Apache-2.0
// What a state of Slurm's means for an attempt. Pure.
#pragma once

#include <string>

#include "services/core/job.h"
#include "services/launch/slurm_output.h"

namespace anamnesis::launch {

// What was known of the attempt's Slurm job before.
struct SlurmHistory {
  bool ran = false;      // it has had nodes
  bool stopped = false;  // we have cancelled it
};

struct SlurmMeaning {
  enum class Kind {
    kWaits,  // `message`: for what
    kRuns,
    kGone,      // for `reason`
    kRequeued,  // gone, and its Slurm job is to be cancelled: it would start again
  };
  Kind kind = Kind::kRuns;
  core::Reason reason = core::Reason::kWorkerLost;
  std::string message;
};

// `slurm_reason` is what squeue says beside the state; "" for nothing.
SlurmMeaning MeaningOf(int64_t id, SlurmState state, const std::string& state_name,
                       const std::string& slurm_reason, const SlurmHistory& history);

}  // namespace anamnesis::launch
