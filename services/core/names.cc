// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <utility>

#include "services/core/job.h"

namespace anamnesis::core {
namespace {

// In the order of the enum, so that the value is the index.
constexpr std::array<const char*, 15> kJobStates = {
    "queued",    "preparing",  "starting",   "running",    "pausing",
    "paused",    "recovering", "cancelling", "preempting", "resizing",
    "succeeded", "failed",     "cancelled",  "expired",    "rejected",
};
constexpr std::array<const char*, 9> kAttemptStates = {
    "assigned",  "preparing", "rendezvous", "running", "draining",
    "succeeded", "failed",    "stopped",    "lost",
};
constexpr std::array<const char*, 28> kReasons = {
    "submitted",
    "placed",
    "worker_attached",
    "data_ready",
    "first_step",
    "done",
    "user_cancelled",
    "user_paused",
    "user_resumed",
    "parked",
    "rank_failed",
    "worker_lost",
    "lease_expired",
    "launch_failed",
    "reboot",
    "invalid_input",
    "out_of_memory",
    "disk_full",
    "equal_failures",
    "internal",
    "stopped",
    "after_not_succeeded",
    "engine_unreachable",
    "node_lost",
    "preempted",
    "time_limit",
    "engine_cancelled",
    "drained",
};
static_assert(kJobStates.size() == static_cast<size_t>(JobState::kRejected) + 1);
static_assert(kAttemptStates.size() == static_cast<size_t>(AttemptState::kLost) + 1);
static_assert(kReasons.size() == static_cast<size_t>(Reason::kDrained) + 1);

template <typename Enum, size_t size>
StatusOr<Enum> FromName(const std::array<const char*, size>& names, const std::string& name,
                        const char* what) {
  for (size_t i = 0; i < size; ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
  }
  return DataLoss("'", name, "' is no ", what);
}

}  // namespace

const char* NameOf(JobState state) { return kJobStates[static_cast<size_t>(state)]; }
const char* NameOf(AttemptState state) { return kAttemptStates[static_cast<size_t>(state)]; }
const char* NameOf(Reason reason) { return kReasons[static_cast<size_t>(reason)]; }

StatusOr<JobState> JobStateFromName(const std::string& name) {
  return FromName<JobState>(kJobStates, name, "state of a job");
}
StatusOr<AttemptState> AttemptStateFromName(const std::string& name) {
  return FromName<AttemptState>(kAttemptStates, name, "state of an attempt");
}
StatusOr<Reason> ReasonFromName(const std::string& name) {
  return FromName<Reason>(kReasons, name, "reason");
}

}  // namespace anamnesis::core
