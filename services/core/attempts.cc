// SPDX-License-Identifier: Apache-2.0
// Events by the coordinator: attempts begin and end.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "services/core/handlers.h"

namespace anamnesis::core {
namespace {

// The last attempt, whose worker is to take the next epoch.
StatusOr<Attempt*> FindKept(Change* change, Job* job) {
  const Session* session = change->state.FindSession(*job);
  if (session == nullptr || !AreAllAttached(*session) ||
      job->attempts.back().state != AttemptState::kFailed) {
    return FailedPrecondition(NameOf(job->id), " has no worker to keep");
  }
  return &job->attempts.back();
}

Status CheckSlotsFor(const Change& change, const Job& job, std::vector<int64_t>* slots) {
  if (change.state.FindSession(job) != nullptr) {
    return FailedPrecondition("the worker of ", NameOf(job.id), " still holds its slots");
  }
  std::sort(slots->begin(), slots->end());
  const std::vector<int64_t> free = FreeSlots(change.state, change.options);
  if (static_cast<int64_t>(slots->size()) != job.resolved.ranks ||
      std::adjacent_find(slots->begin(), slots->end()) != slots->end() ||
      !std::includes(free.begin(), free.end(), slots->begin(), slots->end())) {
    return FailedPrecondition(NameOf(job.id), " needs ", job.resolved.ranks, " free slots");
  }
  return absl::OkStatus();
}

}  // namespace

Status Handle(Change* change, const Assign& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  if (job->state != JobState::kQueued && job->state != JobState::kRecovering) {
    return FailedPrecondition(NameOf(job->id), " is ", NameOf(job->state),
                              ", it waits for no slots");
  }
  if (const auto followed = WaitsFor(change->state, *job)) {
    return FailedPrecondition(NameOf(job->id), " waits for ", NameOf(followed->id));
  }
  if (change->state.parking) return FailedPrecondition("the coordinator shuts down");
  if (change->state.cordon && !(event.keep_worker && !change->state.cordon->drains)) {
    return FailedPrecondition("the node is cordoned");
  }
  Attempt attempt;
  Session session;
  attempt.epoch = static_cast<int64_t>(job->attempts.size()) + 1;
  attempt.start_time = change->now.wall;
  if (event.keep_worker) {
    ANAM_ASSIGN_OR_RETURN(Attempt * kept, FindKept(change, job));
    session = *change->state.FindSession(*job);
    attempt.slots = kept->slots;
    attempt.nodes = kept->nodes;
    attempt.token = kept->token;
    attempt.worker = kept->worker;
    ReleaseSlots(change, job);
  } else {
    attempt.slots = event.slots;
    attempt.token = event.token;
    ANAM_RETURN_IF_ERROR(CheckSlotsFor(*change, *job, &attempt.slots));
    // Epochs of one token are of one worker.
    if (event.token.empty() ||
        (!job->attempts.empty() && job->attempts.back().token == event.token)) {
      return InvalidArgument("a new worker of ", NameOf(job->id), " needs a token of its own");
    }
    job->acknowledged_sequence = 0;
    attempt.nodes = NodesOf(job->resolved.ranks, change->options);
    session.launching = true;
    session.last_heard = change->now.monotonic;
    session.others.assign(static_cast<size_t>(attempt.nodes - 1), session);
  }
  change->state.sessions[{job->id, attempt.epoch}] = session;
  job->attempts.push_back(std::move(attempt));
  if (!job->start_time) job->start_time = change->now.wall;
  job->progress.phase.clear();
  job->progress.done = job->progress.total = 0;
  job->progress.tokens_per_second = job->progress.step_seconds = 0;
  Go(change, job, JobState::kPreparing, Reason::kPlaced, kByCoordinator);
  return absl::OkStatus();
}

Status Handle(Change* change, const Launched& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(Attempt * attempt, FindWorker(job, event.epoch));
  // The attempt may be over by now; the process must be known all the same, to be ended.
  if (!attempt->holds_slots) return StaleEpoch(event.epoch, attempt->epoch);
  attempt->worker = event.worker;
  change->outcome.changed = true;
  return absl::OkStatus();
}

Status Handle(Change* change, const LaunchFailed& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(Attempt * attempt, FindWorker(job, event.epoch));
  if (!attempt->holds_slots) return StaleEpoch(event.epoch, attempt->epoch);
  if (IsOver(attempt->state)) {
    ReleaseSlots(change, job);
    return absl::OkStatus();
  }
  if (event.reason == Reason::kEngineUnreachable) change->state.engine_fault = event.message;
  if (event.reason == Reason::kEngineUnreachable && job->state == JobState::kPreparing) {
    // Nothing was ever started: no attempt, and no failure of the job.
    ReleaseSlots(change, job);
    job->attempts.pop_back();
    Go(change, job, JobState::kQueued, event.reason, kByCoordinator, event.message);
    return absl::OkStatus();
  }
  EndAttempt(change, job, AttemptState::kFailed, event.reason, event.message);
  ReleaseSlots(change, job);
  GoAfterFailure(change, job, {event.reason, event.message, 0}, kByCoordinator);
  return absl::OkStatus();
}

Status Handle(Change* change, const EngineWaits& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(const Attempt* attempt, FindActive(job, event.epoch));
  Session* session = change->state.FindSession(*job);
  for (int64_t node = 0; node < attempt->nodes; ++node) {
    Line* line = FindLine(session, node);
    if (line->launching) line->last_heard = change->now.monotonic;
  }
  if (!session->launching || job->progress.phase == event.message) return absl::OkStatus();
  job->progress.phase = event.message;
  change->outcome.changed = true;
  return absl::OkStatus();
}

Status Handle(Change* change, const EngineSeen& event) {
  change->state.engine_fault.reset();
  if (!event.reachable) change->state.engine_fault = event.message;
  return absl::OkStatus();
}

Status Handle(Change* change, const WorkerGone& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  const Attempt* named = job->FindAttempt(event.epoch);
  if (named == nullptr) return StaleEpoch(event.epoch, static_cast<int64_t>(job->attempts.size()));
  Attempt* attempt = &job->attempts.back();
  // Known to be gone already: no successor is assigned before.
  if (named->token != attempt->token || !attempt->holds_slots) return absl::OkStatus();
  const int64_t last_step = attempt->last_step;
  if (IsOver(attempt->state)) {
    ReleaseSlots(change, job);
    // It heard a SIGTERM, saved and stopped, or fell silent; now it is known why.
    const bool was_silent = attempt->reason == Reason::kLeaseExpired;
    if ((attempt->state == AttemptState::kStopped || was_silent) &&
        event.reason != Reason::kWorkerLost && event.reason != Reason::kReboot) {
      if (was_silent && !job->failures.empty()) job->failures.back().reason = event.reason;
      attempt->reason = event.reason;
      attempt->message = event.message;
    }
    const bool goes_on = job->state == JobState::kQueued || job->state == JobState::kRecovering;
    if (event.reason == Reason::kEngineCancelled && goes_on) {
      GoAfterFailure(change, job, {event.reason, event.message, last_step}, kByCoordinator);
    }
    return absl::OkStatus();
  }
  EndAttempt(change, job, AttemptState::kLost, event.reason, event.message);
  ReleaseSlots(change, job);
  if (StopTime(change->state)) {
    // Killed because it did not stop in time, or ended beside that: no fault of the job.
    GoAfterStop(change, job, event.reason, kByCoordinator, event.message);
  } else {
    GoAfterFailure(change, job, {event.reason, event.message, last_step}, kByCoordinator);
  }
  return absl::OkStatus();
}

Status Handle(Change* change, const LeaseExpired& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(const Attempt* attempt, FindActive(job, event.epoch));
  Session* session = change->state.FindSession(*job);
  ANAM_CHECK(session != nullptr);
  if (change->now.monotonic < LeaseEnd(*session, change->options)) {
    return FailedPrecondition("the worker of ", NameOf(job->id), " was heard of in time");
  }
  const int64_t last_step = attempt->last_step;
  const int64_t node = FirstToExpire(*session, change->options);
  const std::string worker = attempt->nodes == 1 ? "its worker" : Cat("its worker of node ", node);
  const std::string message =
      FindLine(session, node)->launching
          ? Cat(worker, " did not come within ",
                absl::FormatDuration(change->options.launch_patience))
          : Cat(worker, " was not heard of for ", absl::FormatDuration(change->options.lease));
  EndAttempt(change, job, AttemptState::kLost, Reason::kLeaseExpired, message);
  GoAfterFailure(change, job, {Reason::kLeaseExpired, message, last_step}, kByCoordinator);
  return absl::OkStatus();
}

Status Handle(Change* change, const ListensAgain&) {
  for (auto& [key, session] : change->state.sessions) {
    session.last_heard = change->now.monotonic;
    for (Line& line : session.others) line.last_heard = change->now.monotonic;
  }
  return absl::OkStatus();
}

Status Handle(Change* change, const Park&) {
  if (change->state.parking) return absl::OkStatus();
  change->state.parking = true;
  change->state.park_time = change->now.monotonic;
  return absl::OkStatus();
}

}  // namespace anamnesis::core
