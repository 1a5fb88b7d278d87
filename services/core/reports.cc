// SPDX-License-Identifier: Apache-2.0
// What a worker reports: numbered, each taken once.
#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "services/core/failure_rule.h"
#include "services/core/handlers.h"

namespace anamnesis::core {
namespace {

constexpr double kNewestWeight = 0.2;  // of a step in the means of Progress
constexpr size_t kMaxNotes = 64;
constexpr size_t kMaxMetrics = 64;  // of an evaluation
constexpr size_t kMaxClasses = 4096;

Status CheckReport(const PhaseReported& report) {
  if (report.state != AttemptState::kPreparing && report.state != AttemptState::kRendezvous) {
    return InvalidArgument("a phase of state ", NameOf(report.state));
  }
  if (report.done < 0 || report.total < 0 || (report.total > 0 && report.done > report.total)) {
    return InvalidArgument("a phase with ", report.done, " of ", report.total, " done");
  }
  return absl::OkStatus();
}
Status CheckReport(const StepReported& report) {
  if (report.step < 1 || report.tokens < 0) {
    return InvalidArgument("step ", report.step, " with ", report.tokens, " tokens");
  }
  return absl::OkStatus();
}
Status CheckReport(const EvalReported& report) {
  if (report.metrics.size() > kMaxMetrics) {
    return InvalidArgument("an evaluation with ", report.metrics.size(), " metrics");
  }
  return absl::OkStatus();
}
Status CheckReport(const StartedReported& report) {
  if (report.data.class_shares.size() > kMaxClasses) {
    return InvalidArgument("a start with ", report.data.class_shares.size(), " classes");
  }
  return absl::OkStatus();
}
Status CheckReport(const DoneReported& report) {
  if (report.evaluation.size() > kMaxMetrics) {
    return InvalidArgument("an end with ", report.evaluation.size(), " metrics");
  }
  return absl::OkStatus();
}
Status CheckReport(const FailedReported& report) {
  if (!IsFailureReason(report.reason)) {
    return InvalidArgument("a failure of reason ", NameOf(report.reason));
  }
  return absl::OkStatus();
}
template <typename Report>
Status CheckReport(const Report&) {
  return absl::OkStatus();
}

bool IsDraining(const Job& job) { return job.active()->state == AttemptState::kDraining; }

void Take(Change* change, Job* job, const PhaseReported& report) {
  job->progress.phase = report.phase;
  job->progress.done = report.done;
  job->progress.total = report.total;
  job->progress.eta_seconds = report.eta_seconds;
  Attempt* attempt = job->active();
  // States only go on: a draining attempt and a later state stay.
  if (report.state <= attempt->state) return;
  attempt->state = report.state;
  if (report.state == AttemptState::kRendezvous) {
    attempt->reason = Reason::kDataReady;
    Go(change, job, JobState::kStarting, Reason::kDataReady, kByWorker);
  }
}

void Take(Change*, Job* job, const StartedReported& report) {
  Attempt* attempt = job->active();
  attempt->resumed_step = report.resumed_step;
  attempt->kept_ranks = report.kept_ranks;
  job->progress.total_steps = report.total_steps;
  job->progress.step = report.resumed_step;
  // Steps whose report was lost with a worker are known to the folder alone.
  job->steps_executed = std::max(job->steps_executed, report.steps_executed_before);
  job->data = report.data;
  auto& notes = job->resolved.notes;
  for (const std::string& note : report.notes) {
    const bool known = std::find(notes.begin(), notes.end(), note) != notes.end();
    if (!known && notes.size() < kMaxNotes) notes.push_back(note);
  }
}

void ClearFailuresBefore(int64_t step, Job* job) {
  const bool beyond_failures =
      std::all_of(job->failures.begin(), job->failures.end(),
                  [&](const Failure& failure) { return step > failure.last_step; });
  const bool beyond_commit = !job->latest_checkpoint || step > job->latest_checkpoint->step;
  if (beyond_failures && beyond_commit) job->failures.clear();
}

double Mean(double before, double newest) {
  return before == 0 ? newest : (1 - kNewestWeight) * before + kNewestWeight * newest;
}

void Take(Change* change, Job* job, const StepReported& report) {
  Attempt* attempt = job->active();
  if (attempt->first_step == 0) attempt->first_step = report.step;
  attempt->last_step = std::max(attempt->last_step, report.step);
  ++job->steps_executed;
  Progress& progress = job->progress;
  progress.phase = "training";
  progress.eta_seconds.reset();
  progress.step = progress.done = report.step;
  progress.total = progress.total_steps;
  progress.epoch = report.epoch;
  progress.loss = report.loss;
  progress.grad_norm = report.grad_norm;
  progress.learning_rate = report.learning_rate;
  progress.tokens += report.tokens;
  if (std::isfinite(report.seconds) && report.seconds > 0) {
    progress.train_seconds += report.seconds;
    progress.step_seconds = Mean(progress.step_seconds, report.seconds);
    progress.tokens_per_second =
        Mean(progress.tokens_per_second, static_cast<double>(report.tokens) / report.seconds);
  }
  ClearFailuresBefore(report.step, job);
  if (attempt->state >= AttemptState::kRunning) return;
  attempt->state = AttemptState::kRunning;
  attempt->reason = Reason::kFirstStep;
  Go(change, job, JobState::kRunning, Reason::kFirstStep, kByWorker);
}

void Take(Change*, Job* job, const EvalReported& report) {
  job->progress.phase = "evaluation";
  job->progress.done = job->progress.total = 0;
  job->progress.tuning_loss = report.loss;
  if (std::isfinite(report.seconds) && report.seconds > 0) {
    job->progress.evaluation_seconds += report.seconds;
  }
}

void Take(Change*, Job* job, const SavedReported&) {
  job->progress.phase = "saving";
  job->progress.done = job->progress.total = 0;
}

void Take(Change* change, Job* job, const FailedReported& report) {
  EndAttempt(change, job, AttemptState::kFailed, report.reason, report.message);
  GoAfterFailure(change, job, {report.reason, report.message, report.last_step}, kByWorker);
}

void Take(Change* change, Job* job, const StoppedReported& report) {
  Reason reason = StopTime(change->state) ? StopReason(change->state) : Reason::kStopped;
  if (IsDraining(*job)) reason = job->reason;
  const std::string message =
      Cat(report.saved ? "saved" : "not saved", " at step ", report.last_step);
  EndAttempt(change, job, AttemptState::kStopped, reason, message);
  GoAfterStop(change, job, Reason::kStopped, kByWorker, message);
}

void Take(Change* change, Job* job, const DoneReported& report) {
  job->final_sha256 = report.final_sha256;
  job->final_path = report.path;
  job->wandb_folder = report.wandb_folder;
  job->evaluation = report.evaluation;
  job->progress.phase.clear();
  job->progress.done = job->progress.total = 0;
  job->progress.step = report.step;
  EndAttempt(change, job, AttemptState::kSucceeded, Reason::kDone, "");
  Go(change, job, JobState::kSucceeded, Reason::kDone, kByWorker);
}

}  // namespace

Status Handle(Change* change, const Reported& event) {
  ANAM_ASSIGN_OR_RETURN(Job * job, FindJob(change, event.job));
  // The worker must be the one of the last attempt, and not lost.
  ANAM_ASSIGN_OR_RETURN(const Attempt* last, FindWorker(job, event.epoch));
  if (last->state == AttemptState::kLost) return StaleEpoch(event.epoch, last->epoch);
  if (event.sequence < 1) return InvalidArgument("report number ", event.sequence);
  Session* session = change->state.FindSession(*job);
  if (event.sequence <= job->acknowledged_sequence) {  // sent again after a lost session
    if (session != nullptr) session->last_heard = change->now.monotonic;
    return absl::OkStatus();
  }
  ANAM_RETURN_IF_ERROR(FindActive(job, event.epoch).status());
  if (event.sequence != job->acknowledged_sequence + 1) {
    return FailedPrecondition("report ", event.sequence, " of ", NameOf(job->id),
                              " came before report ", job->acknowledged_sequence + 1);
  }
  ANAM_RETURN_IF_ERROR(
      std::visit([](const auto& report) { return CheckReport(report); }, event.what));
  ANAM_CHECK(session != nullptr);
  session->last_heard = change->now.monotonic;
  job->acknowledged_sequence = event.sequence;
  change->outcome.new_report = change->outcome.changed = true;
  std::visit([&](const auto& report) { Take(change, job, report); }, event.what);
  return absl::OkStatus();
}

}  // namespace anamnesis::core
