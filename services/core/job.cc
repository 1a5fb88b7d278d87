// SPDX-License-Identifier: Apache-2.0
#include "services/core/job.h"

namespace anamnesis::core {

std::string NameOf(JobId id) { return Cat("jobs/", static_cast<int64_t>(id)); }

bool IsTerminal(JobState state) {
  switch (state) {
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled:
    case JobState::kExpired:
    case JobState::kRejected:
      return true;
    default:
      return false;
  }
}

bool IsOver(AttemptState state) {
  switch (state) {
    case AttemptState::kSucceeded:
    case AttemptState::kFailed:
    case AttemptState::kStopped:
    case AttemptState::kLost:
      return true;
    default:
      return false;
  }
}

const Attempt* Job::active() const {
  return attempts.empty() || IsOver(attempts.back().state) ? nullptr : &attempts.back();
}

Attempt* Job::active() {
  return attempts.empty() || IsOver(attempts.back().state) ? nullptr : &attempts.back();
}

Attempt* Job::FindAttempt(int64_t epoch) {
  if (epoch < 1 || epoch > static_cast<int64_t>(attempts.size())) return nullptr;
  return &attempts[static_cast<size_t>(epoch - 1)];
}

}  // namespace anamnesis::core
