// SPDX-License-Identifier: Apache-2.0
#include "services/core/placement.h"

#include <algorithm>

namespace anamnesis::core {
namespace {

bool IsWorkerKept(const State& state, const Job& job) {
  return !state.parking && job.state == JobState::kRecovering &&
         job.attempts.back().state == AttemptState::kFailed;
}

// Queued, or recovering and due.
bool IsWaiting(const Job& job, const Now& now, const Options& options) {
  if (job.state == JobState::kQueued) return true;
  return job.state == JobState::kRecovering && RetryLeft(job, now, options) <= absl::ZeroDuration();
}

bool GoesBefore(const Job* a, const Job* b) {
  if (a->spec.priority != b->spec.priority) return a->spec.priority > b->spec.priority;
  return a->id < b->id;
}

}  // namespace

PlacementPlan PlanPlacement(const State& state, const Now& now, const Options& options) {
  PlacementPlan plan;
  plan.free = FreeSlots(state, options);
  if (state.parking) return plan;
  std::vector<const Job*> queue;
  for (const JobId id : state.live) {
    const Job* job = state.Find(id);
    if (IsWaiting(*job, now, options)) queue.push_back(job);
  }
  std::sort(queue.begin(), queue.end(), GoesBefore);
  for (const Job* job : queue) {
    if (state.FindSession(*job) != nullptr) {
      if (CanKeepWorker(state, *job, now, options)) {
        plan.places.push_back({job->id, job->attempts.back().slots, true});
      }
      continue;
    }
    const int64_t ranks = job->resolved.ranks;
    if (plan.held_back || ranks > options.num_slots) continue;
    if (ranks > static_cast<int64_t>(plan.free.size())) {
      plan.held_back = job->id;
      continue;
    }
    const auto end = plan.free.begin() + ranks;
    plan.places.push_back({job->id, {plan.free.begin(), end}, false});
    plan.free.erase(plan.free.begin(), end);
  }
  return plan;
}

absl::Duration RetryLeft(const Job& job, const Now& now, const Options& options) {
  const absl::Duration left = *job.retry_time - now.wall;
  return left > options.retry_limit ? absl::ZeroDuration() : left;
}

bool CanKeepWorker(const State& state, const Job& job, const Now& now, const Options& options) {
  const Session* session = state.FindSession(job);
  return session != nullptr && session->attached && IsWorkerKept(state, job) &&
         now.monotonic < LeaseEnd(*session, options);
}

absl::Duration LeaveTime(const State& state, const Job& job, const Session& session,
                         const Options& options) {
  if (IsWorkerKept(state, job)) return LeaseEnd(session, options);
  const bool was_kept =
      job.state == JobState::kRecovering && job.attempts.back().state == AttemptState::kFailed;
  return was_kept ? std::max(session.idle_since, state.park_time) : session.idle_since;
}

}  // namespace anamnesis::core
