// SPDX-License-Identifier: Apache-2.0
#include "services/core/invariants.h"

#include <set>

#include "common/base/check.h"

namespace anamnesis::core {
namespace {

bool RunsIn(JobState state) {
  switch (state) {
    case JobState::kPreparing:
    case JobState::kStarting:
    case JobState::kRunning:
    case JobState::kPausing:
    case JobState::kCancelling:
    case JobState::kPreempting:
    case JobState::kResizing:
      return true;
    default:
      return false;
  }
}

}  // namespace

void CheckJob(const State& state, const Job& job) {
  int64_t epoch = 0;
  for (const Attempt& attempt : job.attempts) {
    ANAM_CHECK(attempt.epoch == ++epoch);
    if (&attempt == &job.attempts.back()) continue;
    ANAM_CHECK(IsOver(attempt.state));
    ANAM_CHECK(!attempt.holds_slots);
  }
  ANAM_CHECK(RunsIn(job.state) == (job.active() != nullptr));
  ANAM_CHECK(job.active() == nullptr || job.active()->holds_slots);
  const bool holds_slots = !job.attempts.empty() && job.attempts.back().holds_slots;
  ANAM_CHECK(holds_slots == (state.FindSession(job) != nullptr));
  ANAM_CHECK(IsTerminal(job.state) == job.end_time.has_value());
  ANAM_CHECK((job.state == JobState::kRecovering) == job.retry_time.has_value());
  const bool waits = WaitsFor(state, job).has_value();
  const bool may_start = job.state == JobState::kQueued && !waits;
  ANAM_CHECK(state.queue.contains(PlaceOf(job)) == may_start);
  const bool stops = job.state == JobState::kCancelling || job.state == JobState::kPausing;
  ANAM_CHECK(stops == job.stop_deadline.has_value());
}

void CheckSlots(const State& state) {
  std::set<int64_t> held;
  for (const auto& [key, session] : state.sessions) {
    const Job* job = state.Find(key.first);
    ANAM_CHECK(job != nullptr && !job->attempts.empty());
    ANAM_CHECK(job->attempts.back().epoch == key.second && job->attempts.back().holds_slots);
    for (const int64_t slot : job->attempts.back().slots) ANAM_CHECK(held.insert(slot).second);
  }
}

}  // namespace anamnesis::core
