// SPDX-License-Identifier: Apache-2.0
#include "services/core/placement.h"

#include <algorithm>
#include <set>

namespace anamnesis::core {
namespace {

bool IsWorkerKept(const State& state, const Job& job) {
  return !StopTime(state) && job.state == JobState::kRecovering &&
         job.attempts.back().state == AttemptState::kFailed;
}

// Recovering jobs whose retry time has come, in the order of the queue.
std::set<QueuePlace> DueJobs(const State& state, const Now& now, const Options& options) {
  std::set<QueuePlace> due;
  for (const JobId id : state.recovering) {
    const Job& job = *state.Find(id);
    if (RetryLeft(job, now, options) <= absl::ZeroDuration()) due.insert(PlaceOf(job));
  }
  return due;
}

void PlanJob(const State& state, const Job& job, const Now& now, const Options& options,
             PlacementPlan* plan) {
  if (state.FindSession(job) != nullptr) {
    if (CanKeepWorker(state, job, now, options)) {
      plan->places.push_back({job.id, job.attempts.back().slots, true});
    }
    return;
  }
  if (state.cordon) return;
  const int64_t ranks = job.resolved.ranks;
  if (plan->held_back || ranks > options.num_slots) return;
  if (ranks > static_cast<int64_t>(plan->free.size())) {
    plan->held_back = job.id;
    return;
  }
  const auto end = plan->free.begin() + ranks;
  plan->places.push_back({job.id, {plan->free.begin(), end}, false});
  plan->free.erase(plan->free.begin(), end);
}

}  // namespace

PlacementPlan PlanPlacement(const State& state, const Now& now, const Options& options) {
  PlacementPlan plan;
  plan.free = FreeSlots(state, options);
  if (state.parking || state.engine_fault) return plan;
  const std::set<QueuePlace> due = DueJobs(state, now, options);
  auto recovering = due.begin();
  auto queued = state.queue.begin();
  // Behind the first gang that does not fit, only a recovering job may go on, with its worker.
  const auto may_queued = [&] { return !plan.held_back && queued != state.queue.end(); };
  while (recovering != due.end() || may_queued()) {
    const bool take_queued = may_queued() && (recovering == due.end() || *queued < *recovering);
    const QueuePlace& next = take_queued ? *queued++ : *recovering++;
    PlanJob(state, *state.Find(next.id), now, options, &plan);
  }
  return plan;
}

absl::Duration RetryLeft(const Job& job, const Now& now, const Options& options) {
  const absl::Duration left = *job.retry_time - now.wall;
  return left > options.retry_limit ? absl::ZeroDuration() : left;
}

bool CanKeepWorker(const State& state, const Job& job, const Now& now, const Options& options) {
  const Session* session = state.FindSession(job);
  return session != nullptr && AreAllAttached(*session) && IsWorkerKept(state, job) &&
         now.monotonic < LeaseEnd(*session, options);
}

absl::Duration LeaveTime(const State& state, const Job& job, const Session& session,
                         const Options& options) {
  if (IsWorkerKept(state, job)) return LeaseEnd(session, options);
  const bool was_kept =
      job.state == JobState::kRecovering && job.attempts.back().state == AttemptState::kFailed;
  return was_kept ? std::max(session.idle_since, *StopTime(state)) : session.idle_since;
}

}  // namespace anamnesis::core
