// SPDX-License-Identifier: Apache-2.0
// Events by users.
#include <algorithm>
#include <utility>

#include "services/core/handlers.h"

namespace anamnesis::core {
namespace {

// How long a pause lets the job save.
constexpr absl::Duration kPauseGrace = absl::Minutes(10);

Status CheckNew(const Change& change, const Submit& event) {
  const Resolved& resolved = event.resolved;
  if (resolved.ranks < 1) return InvalidArgument("ranks: ", resolved.ranks, ", must be 1 or more");
  if (resolved.ranks > change.options.num_slots) {
    return FailedPrecondition("the job asks for ", resolved.ranks, " ranks; this coordinator has ",
                              change.options.num_slots,
                              change.options.num_slots == 1 ? " slot" : " slots",
                              " (--slots of anamnesis up)");
  }
  if (const auto& after = event.spec.after) {
    ANAM_RETURN_IF_ERROR(CheckFollowed(*after, change.state.Find(*after)));
  }
  const auto owner = change.state.by_output_dir.find(resolved.output_dir);
  if (owner != change.state.by_output_dir.end()) {
    return AlreadyExists("output_dir ", resolved.output_dir, " belongs to ", NameOf(owner->second),
                         ", which is ", NameOf(change.state.Find(owner->second)->state));
  }
  return absl::OkStatus();
}

// The attempt is told to save and stop, until `grace` from now.
void BeginStop(Change* change, Job* job, absl::Duration grace) {
  job->active()->state = AttemptState::kDraining;
  job->stop_grace = grace;
  job->stop_deadline = change->now.wall + grace;
}

// A worker that was kept for the next attempt has nothing to wait for any more.
void LetIdle(Change* change, const Job& job) {
  if (Session* session = change->state.FindSession(job)) {
    session->idle_since = change->now.monotonic;
  }
}

}  // namespace

Status Handle(Change* change, const Submit& event) {
  State& state = change->state;
  if (const auto seen = state.by_request_id.find(event.request_id);
      !event.request_id.empty() && seen != state.by_request_id.end()) {
    if (!(state.Find(seen->second)->spec == event.spec)) {
      return AlreadyExists("request id ", event.request_id, " belongs to ", NameOf(seen->second),
                           ", which has another spec");
    }
    change->outcome.job = seen->second;
    return absl::OkStatus();
  }
  ANAM_RETURN_IF_ERROR(CheckNew(*change, event));

  const JobId id{state.next_job_id++};
  Job job;
  job.id = id;
  job.spec = event.spec;
  job.resolved = event.resolved;
  job.request_id = event.request_id;
  job.create_time = job.update_time = change->now.wall;
  state.jobs.emplace(id, std::move(job));
  if (!event.request_id.empty()) state.by_request_id[event.request_id] = id;
  change->outcome.job = id;
  change->outcome.created = change->outcome.changed = true;
  // The one transition that is not a way from one state to another: there was no job before.
  change->outcome.transitions.push_back({change->now.wall, JobState::kQueued, JobState::kQueued,
                                         Reason::kSubmitted, event.actor, 0, ""});
  return absl::OkStatus();
}

Status Handle(Change* change, const Cancel& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  if (IsTerminal(job->state)) {
    return FailedPrecondition(NameOf(job->id), " is ", NameOf(job->state), " already");
  }
  const absl::Duration grace = std::max(event.grace, absl::ZeroDuration());
  if (job->active() == nullptr) {
    LetIdle(change, *job);
    Go(change, job, JobState::kCancelled, Reason::kUserCancelled, event.actor);
  } else if (job->state != JobState::kCancelling) {
    Go(change, job, JobState::kCancelling, Reason::kUserCancelled, event.actor);
    BeginStop(change, job, grace);
  } else if (change->now.wall + grace < *job->stop_deadline) {
    BeginStop(change, job, grace);
    change->outcome.changed = true;
  }
  return absl::OkStatus();
}

Status Handle(Change* change, const Pause& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  switch (job->state) {
    case JobState::kQueued:
    case JobState::kRecovering:
      LetIdle(change, *job);
      Go(change, job, JobState::kPaused, Reason::kUserPaused, event.actor);
      return absl::OkStatus();
    case JobState::kPreparing:
    case JobState::kStarting:
    case JobState::kRunning:
      Go(change, job, JobState::kPausing, Reason::kUserPaused, event.actor);
      BeginStop(change, job, kPauseGrace);
      return absl::OkStatus();
    default:
      return FailedPrecondition(NameOf(job->id), " is ", NameOf(job->state),
                                "; only a job that waits or runs can be paused");
  }
}

Status Handle(Change* change, const Resume& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  if (job->state == JobState::kPausing) {
    return FailedPrecondition(NameOf(job->id), " still saves; resume it once it is paused");
  }
  if (job->state != JobState::kPaused) {
    return FailedPrecondition(NameOf(job->id), " is ", NameOf(job->state), ", not paused");
  }
  job->failures.clear();
  Go(change, job, JobState::kQueued, Reason::kUserResumed, event.actor);
  return absl::OkStatus();
}

}  // namespace anamnesis::core
