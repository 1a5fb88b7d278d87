// SPDX-License-Identifier: Apache-2.0
// Trains one attempt with a gang of ranks, and writes its summary.
#pragma once

#include <string>

#include "workers/agent/checked.h"
#include "workers/agent/open_attempt.h"
#include "workers/agent/progress.h"
#include "workers/agent/remote_ranks.h"
#include "workers/gang/gang.h"

namespace anamnesis::agent {

struct TrainHooks {
  int interrupt_fd = -1;             // of gang::GangOptions
  gang::Mailbox* mailbox = nullptr;  // likewise
  bool keep_survivors = false;       // likewise; they come back in `outcome`
  std::vector<std::optional<gang::RankLink>> survivors = {};
  RemoteRanks* remote = nullptr;    // of a gang of several nodes
  std::string resume_command = "";  // that the user may type after a failure; "" for none
};

// OK once every rank is done; the ranks' outcome goes into `outcome`. Blocks; `progress` is told on
// this thread.
Status Train(const RunOptions& options, const Checked& checked, const Attempt& attempt,
             TrainHooks hooks, StepCounter& counter, Progress& progress, gang::Outcome* outcome);

}  // namespace anamnesis::agent
