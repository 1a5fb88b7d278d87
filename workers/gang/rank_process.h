// SPDX-License-Identifier: Apache-2.0
// RankProcess: the process of one rank as its gang sees it: a child of this worker, or one that the
// worker of another node started. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/process/spawn.h"

namespace anamnesis::gang {

class RankProcess {
 public:
  virtual ~RankProcess() = default;  // ends the rank
  virtual int ended_fd() const = 0;  // readable once it has ended
  virtual void Kill() = 0;
  // How it ended, nothing while it runs.
  virtual std::optional<ExitState> Poll() = 0;
  // True when it is stopped (SIGSTOP, a debugger).
  virtual bool IsStopped() const = 0;
  // False while nothing can be heard of it: its silence is not its own.
  virtual bool IsReachable() const = 0;
  // Has a survivor told to go on with this plan, where the message of the channel would name a path
  // that it cannot read. False: it is here, tell it by the channel.
  virtual bool Rejoin(const std::string& plan_path) = 0;
};

// A child of this process.
std::unique_ptr<RankProcess> MakeChildRank(ChildProcess child);

}  // namespace anamnesis::gang
