// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_rule.h"

namespace anamnesis::launch {

SlurmMeaning MeaningOf(int64_t id, SlurmState state, const std::string& state_name,
                       const std::string& slurm_reason, const SlurmHistory& history) {
  using Kind = SlurmMeaning::Kind;
  using core::Reason;
  const std::string job = Cat("slurm job ", id);
  const std::string why = slurm_reason.empty() ? "" : Cat(" (", slurm_reason, ")");
  const auto gone = [&](Reason reason, const std::string& what) {
    return SlurmMeaning{.kind = Kind::kGone, .reason = reason, .message = Cat(job, " ", what)};
  };
  switch (state) {
    case SlurmState::kPending:
      if (!history.ran) {
        const std::string& cause = slurm_reason.empty() ? state_name : slurm_reason;
        return {.kind = Kind::kWaits, .message = Cat(job, " waits: ", cause)};
      }
      [[fallthrough]];
    case SlurmState::kRequeued:
      return {.kind = Kind::kRequeued,
              .reason = Reason::kPreempted,
              .message = Cat(job, " was put back into Slurm's queue", why)};
    case SlurmState::kRunning:
    case SlurmState::kUnknown:
      return {};
    case SlurmState::kCompleted:
      return gone(Reason::kWorkerLost, "has ended");
    case SlurmState::kFailed:
      return gone(Reason::kWorkerLost, Cat("has ended: ", state_name, why));
    case SlurmState::kCancelled:
      if (history.stopped)
        return gone(Reason::kWorkerLost, "was cancelled as the coordinator said");
      return gone(Reason::kEngineCancelled,
                  Cat("was cancelled by somebody else than the coordinator", why));
    case SlurmState::kTimeLimit:
      return gone(Reason::kTimeLimit, Cat("reached its time limit: ", state_name));
    case SlurmState::kNodeFail:
      return gone(Reason::kNodeLost, Cat("has lost a node: ", state_name, why));
    case SlurmState::kPreempted:
      return gone(Reason::kPreempted, "was preempted");
    case SlurmState::kOutOfMemory:
      return gone(Reason::kOutOfMemory,
                  "went beyond its memory: raise memory_per_rank, or make the job smaller");
  }
  return {};
}

}  // namespace anamnesis::launch
