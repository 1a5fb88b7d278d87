// SPDX-License-Identifier: Apache-2.0
// Events by workers about their session, and the commit of a checkpoint.
#include "services/core/handlers.h"

namespace anamnesis::core {
namespace {

// The line of the worker that names this epoch; lost and ended ones are refused.
StatusOr<Line*> FindOpen(Change* change, Job* job, int64_t epoch, int64_t node) {
  ANAM_ASSIGN_OR_RETURN(const Attempt* attempt, FindWorker(job, epoch));
  Session* session = change->state.FindSession(*job);
  if (session == nullptr || attempt->state == AttemptState::kLost) {
    return StaleEpoch(epoch, attempt->epoch);
  }
  Line* line = FindLine(session, node);
  if (line == nullptr) {
    return InvalidArgument(NameOf(job->id), ", epoch ", epoch, " has ", attempt->nodes,
                           " nodes; there is no node ", node);
  }
  return line;
}

}  // namespace

Status Handle(Change* change, const Attached& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  const Attempt* named = job->FindAttempt(event.epoch);
  if (named != nullptr && named->token != event.token) {
    return PermissionDenied("this is not the worker of ", NameOf(job->id), ", epoch ", event.epoch);
  }
  ANAM_ASSIGN_OR_RETURN(Line * line, FindOpen(change, job, event.epoch, event.node));
  Attempt& attempt = job->attempts.back();
  line->attached = true;
  line->launching = false;
  line->last_heard = change->now.monotonic;
  if (event.node > 0) return absl::OkStatus();
  if (event.reattach) {
    ++attempt.reattached;
    change->outcome.changed = true;
  }
  if (attempt.state == AttemptState::kAssigned && attempt.reason == Reason::kPlaced) {
    attempt.reason = Reason::kWorkerAttached;
    change->outcome.changed = true;
  }
  if (attempt.worker.pid == 0 &&
      attempt.worker.handle.empty()) {  // the coordinator ended between the launch and its record
    attempt.worker.host = event.host;
    attempt.worker.pid = event.pid;
    change->outcome.changed = true;
  }
  return absl::OkStatus();
}

Status Handle(Change* change, const Heard& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(Line * line, FindOpen(change, job, event.epoch, event.node));
  line->last_heard = change->now.monotonic;
  return absl::OkStatus();
}

Status Handle(Change* change, const Detached& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(Line * line, FindOpen(change, job, event.epoch, event.node));
  line->attached = false;
  return absl::OkStatus();
}

Status Handle(Change* change, const Commit& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  ANAM_ASSIGN_OR_RETURN(const Attempt* attempt, FindActive(job, event.epoch));
  Session* session = change->state.FindSession(*job);
  if (change->now.monotonic >= LeaseEnd(*session, change->options)) {
    return Unavailable("the lease of epoch ", attempt->epoch, " ran out");
  }
  if (event.name == "final_model") {
    session->last_heard = change->now.monotonic;
    return absl::OkStatus();
  }
  Checkpoint checkpoint = event.checkpoint;
  if (checkpoint.path.empty()) checkpoint.path = Cat(job->resolved.output_dir, "/", event.name);
  if (checkpoint.step < 1 || checkpoint.path.empty() || checkpoint.sha256.empty()) {
    return InvalidArgument("a commit needs a step from 1 on, a path and a digest");
  }
  checkpoint.epoch = event.epoch;
  checkpoint.commit_time = change->now.wall;
  const auto& latest = job->latest_checkpoint;
  // An earlier epoch's commit binds nobody: the same steps are executed anew where its folder was
  // lost.
  if (latest && latest->epoch == checkpoint.epoch) {
    if (latest->step == checkpoint.step && latest->sha256 == checkpoint.sha256) {
      session->last_heard = change->now.monotonic;
      return absl::OkStatus();  // asked again after a lost answer
    }
    if (checkpoint.step <= latest->step) {
      return FailedPrecondition("step ", checkpoint.step, " is not after step ", latest->step,
                                ", which this epoch has committed");
    }
  }
  session->last_heard = change->now.monotonic;
  job->latest_checkpoint = checkpoint;
  change->outcome.checkpoint = checkpoint;
  change->outcome.changed = true;
  return absl::OkStatus();
}

}  // namespace anamnesis::core
