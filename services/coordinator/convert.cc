// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/convert.h"

#include <absl/time/clock.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <charconv>

namespace anamnesis::coordinator {
namespace {

using google::protobuf::Timestamp;
using google::protobuf::util::TimeUtil;

// Years 1 to 9999; TimeUtil ends the process for others.
Timestamp Stamp(absl::Time time) {
  return TimeUtil::MicrosecondsToTimestamp(std::clamp(absl::ToUnixMicros(time),
                                                      TimeUtil::kTimestampMinSeconds * 1'000'000,
                                                      TimeUtil::kTimestampMaxSeconds * 1'000'000));
}

absl::Time TimeOf(const Timestamp& stamp) {
  return absl::FromUnixSeconds(stamp.seconds()) + absl::Nanoseconds(stamp.nanos());
}

// The enums of the API are those of the core in the same order, after an UNSPECIFIED; a test walks
// them all.
template <typename Proto, typename Core>
Proto Shift(Core value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}

v1::Attempt AttemptProto(const core::Attempt& attempt) {
  v1::Attempt out;
  out.set_epoch(attempt.epoch);
  out.set_state(ToProto(attempt.state));
  out.set_reason(ToProto(attempt.reason));
  out.set_message(attempt.message);
  *out.mutable_start_time() = Stamp(attempt.start_time);
  if (attempt.end_time) *out.mutable_end_time() = Stamp(*attempt.end_time);
  for (const int64_t slot : attempt.slots) out.add_slots(static_cast<int32_t>(slot));
  out.set_first_step(attempt.first_step);
  out.set_last_step(attempt.last_step);
  out.set_resumed_step(attempt.resumed_step);
  for (const int64_t rank : attempt.kept_ranks) out.add_kept_ranks(static_cast<int32_t>(rank));
  out.set_host(attempt.worker.host);
  out.set_worker_pid(attempt.worker.pid);
  out.set_reattached(attempt.reattached);
  out.set_nodes(static_cast<int32_t>(attempt.nodes));
  if (attempt.worker.boot_id.empty()) out.set_engine_object(attempt.worker.handle);
  return out;
}

void FillProgress(const core::Job& job, v1::Progress* out) {
  const core::Progress& progress = job.progress;
  out->set_phase(progress.phase);
  if (progress.phase != "training") {
    out->set_phase_done(progress.done);
    out->set_phase_total(progress.total);
  }
  out->set_step(progress.step);
  out->set_total_steps(progress.total_steps);
  out->set_epoch(progress.epoch);
  out->set_tokens(progress.tokens);
  out->set_tokens_per_second(progress.tokens_per_second);
  out->set_train_seconds(progress.train_seconds);
  out->set_evaluation_seconds(progress.evaluation_seconds);
  if (core::IsTerminal(job.state)) {
    out->set_eta_seconds(0);
  } else if (progress.eta_seconds) {
    out->set_eta_seconds(*progress.eta_seconds);
  } else if (progress.total_steps > 0 && progress.step_seconds > 0) {
    out->set_eta_seconds(static_cast<double>(progress.total_steps - progress.step) *
                         progress.step_seconds);
  }
}

void FillMetrics(const core::Progress& progress, google::protobuf::Map<std::string, double>* out) {
  const auto set = [&](const char* name, const std::optional<double>& value) {
    if (value) (*out)[name] = *value;
  };
  set("loss", progress.loss);
  set("learning_rate", progress.learning_rate);
  set("grad_norm", progress.grad_norm);
  set("tuning_loss", progress.tuning_loss);
  if (progress.tokens_per_second > 0) (*out)["tokens_per_second"] = progress.tokens_per_second;
}

void FillData(const core::DataFacts& data, v1::DataFacts* out) {
  if (data.medical_coverage) out->set_medical_coverage(*data.medical_coverage);
  if (data.lab_coverage) out->set_lab_coverage(*data.lab_coverage);
  if (data.truncated_token_share) out->set_truncated_token_share(*data.truncated_token_share);
  out->set_train_documents(data.train_documents);
  out->mutable_class_shares()->Add(data.class_shares.begin(), data.class_shares.end());
}

core::DataFacts FromData(const v1::DataFacts& data) {
  core::DataFacts out;
  if (data.has_medical_coverage()) out.medical_coverage = data.medical_coverage();
  if (data.has_lab_coverage()) out.lab_coverage = data.lab_coverage();
  if (data.has_truncated_token_share()) out.truncated_token_share = data.truncated_token_share();
  out.train_documents = data.train_documents();
  out.class_shares.assign(data.class_shares().begin(), data.class_shares().end());
  return out;
}

core::PhaseReported FromPhase(const v1::PhaseReport& phase) {
  return {
      .state = phase.state() == v1::ATTEMPT_STATE_RENDEZVOUS ? core::AttemptState::kRendezvous
                                                             : core::AttemptState::kPreparing,
      .phase = phase.phase(),
      .done = phase.done(),
      .total = phase.total(),
      .eta_seconds = phase.has_eta_seconds() ? std::optional(phase.eta_seconds()) : std::nullopt};
}

}  // namespace

StatusOr<core::JobId> JobIdFromName(const std::string& name) {
  const std::string number = name.starts_with("jobs/") ? name.substr(5) : name;
  int64_t id = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), id);
  if (error != std::errc() || end != number.data() + number.size() || id < 1) {
    return InvalidArgument("job name '", name.substr(0, 80), "': expected jobs/NUMBER or NUMBER");
  }
  return core::JobId{id};
}

v1::JobState ToProto(core::JobState state) {
  switch (state) {  // here the orders differ
    case core::JobState::kQueued:
      return v1::JOB_STATE_QUEUED;
    case core::JobState::kPreparing:
      return v1::JOB_STATE_PREPARING;
    case core::JobState::kStarting:
      return v1::JOB_STATE_STARTING;
    case core::JobState::kRunning:
      return v1::JOB_STATE_RUNNING;
    case core::JobState::kPausing:
      return v1::JOB_STATE_PAUSING;
    case core::JobState::kPaused:
      return v1::JOB_STATE_PAUSED;
    case core::JobState::kRecovering:
      return v1::JOB_STATE_RECOVERING;
    case core::JobState::kCancelling:
      return v1::JOB_STATE_CANCELLING;
    case core::JobState::kPreempting:
      return v1::JOB_STATE_PREEMPTING;
    case core::JobState::kResizing:
      return v1::JOB_STATE_RESIZING;
    case core::JobState::kSucceeded:
      return v1::JOB_STATE_SUCCEEDED;
    case core::JobState::kFailed:
      return v1::JOB_STATE_FAILED;
    case core::JobState::kCancelled:
      return v1::JOB_STATE_CANCELLED;
    case core::JobState::kExpired:
      return v1::JOB_STATE_EXPIRED;
    case core::JobState::kRejected:
      return v1::JOB_STATE_REJECTED;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

StatusOr<core::JobState> FromProto(v1::JobState state) {
  for (int value = 0; value <= static_cast<int>(core::JobState::kRejected); ++value) {
    if (ToProto(static_cast<core::JobState>(value)) == state) {
      return static_cast<core::JobState>(value);
    }
  }
  return InvalidArgument("states: unknown state ", static_cast<int>(state));
}

v1::AttemptState ToProto(core::AttemptState state) { return Shift<v1::AttemptState>(state); }
v1::Reason ToProto(core::Reason reason) { return Shift<v1::Reason>(reason); }

core::Reason FromProto(v1::Reason reason) {
  const int value = static_cast<int>(reason) - 1;
  if (value < 0 || value > static_cast<int>(core::Reason::kDrained)) return core::Reason::kInternal;
  return static_cast<core::Reason>(value);
}

v1::JobSpec ToProto(const core::JobSpec& spec) {
  v1::JobSpec out;
  out.set_task(spec.task);
  out.set_config_yaml(spec.config_yaml.str());
  for (const std::string& text : spec.overrides) out.add_overrides(text);
  out.set_working_directory(spec.working_directory);
  out.set_config_name(spec.config_name);
  out.set_display_name(spec.display_name);
  out.set_project(spec.project);
  out.set_priority(static_cast<int32_t>(spec.priority));
  if (spec.after) out.set_after(NameOf(*spec.after));
  return out;
}

v1::Job ToProto(const core::Job& job) {
  v1::Job out;
  out.set_name(NameOf(job.id));
  *out.mutable_spec() = ToProto(job.spec);
  out.set_state(ToProto(job.state));
  out.set_reason(ToProto(job.reason));
  out.set_message(job.message);
  *out.mutable_create_time() = Stamp(job.create_time);
  *out.mutable_update_time() = Stamp(job.update_time);
  if (job.start_time) *out.mutable_start_time() = Stamp(*job.start_time);
  if (job.end_time) *out.mutable_end_time() = Stamp(*job.end_time);
  FillProgress(job, out.mutable_progress());
  for (const core::Attempt& attempt : job.attempts) *out.add_attempts() = AttemptProto(attempt);
  out.set_steps_executed(job.steps_executed);
  if (job.latest_checkpoint) {
    v1::CheckpointRef& ref = *out.mutable_latest_checkpoint();
    ref.set_step(job.latest_checkpoint->step);
    ref.set_path(job.latest_checkpoint->path);
    ref.set_sha256(job.latest_checkpoint->sha256);
    ref.set_epoch(job.latest_checkpoint->epoch);
    *ref.mutable_commit_time() = Stamp(job.latest_checkpoint->commit_time);
  }
  FillMetrics(job.progress, out.mutable_metrics());
  out.set_output_dir(job.resolved.output_dir);
  out.set_ranks(static_cast<int32_t>(job.resolved.ranks));
  out.set_final_sha256(job.final_sha256);
  out.set_wandb_folder(job.wandb_folder);
  out.mutable_evaluation()->insert(job.evaluation.begin(), job.evaluation.end());
  FillData(job.data, out.mutable_data());
  for (const std::string& note : job.resolved.notes) out.add_notes(note);
  if (job.state == core::JobState::kRecovering && job.retry_time) {
    const absl::Duration delay = std::max(absl::ZeroDuration(), *job.retry_time - absl::Now());
    *out.mutable_retry_delay() = TimeUtil::MillisecondsToDuration(absl::ToInt64Milliseconds(delay));
  }
  return out;
}

v1::Transition ToProto(const core::Transition& transition) {
  v1::Transition out;
  *out.mutable_time() = Stamp(transition.time);
  out.set_from(ToProto(transition.from));
  out.set_to(ToProto(transition.to));
  out.set_reason(ToProto(transition.reason));
  out.set_actor(transition.actor);
  out.set_epoch(transition.epoch);
  out.set_message(transition.message);
  return out;
}

v1::Checkpoint ToProto(core::JobId job, const core::Checkpoint& checkpoint) {
  v1::Checkpoint out;
  out.set_name(Cat(NameOf(job), "/checkpoints/", checkpoint.step));
  out.set_step(checkpoint.step);
  out.set_epoch(checkpoint.epoch);
  out.set_path(checkpoint.path);
  out.set_sha256(checkpoint.sha256);
  *out.mutable_commit_time() = Stamp(checkpoint.commit_time);
  return out;
}

v1::MetricPoint ToProto(const store::MetricPoint& point) {
  v1::MetricPoint out;
  out.set_step(point.step);
  out.set_epoch(point.epoch);
  *out.mutable_time() = Stamp(point.time);
  for (const auto& [name, value] : point.values) (*out.mutable_values())[name] = value;
  return out;
}

StatusOr<core::Reported> FromProto(core::JobId job, const v1::Report& report) {
  core::Reported out;
  out.job = job;
  out.epoch = report.epoch();
  out.sequence = report.sequence();
  out.time = TimeOf(report.time());
  switch (report.what_case()) {
    case v1::Report::kPhase:
      out.what = FromPhase(report.phase());
      return out;
    case v1::Report::kStarted: {
      core::StartedReported started;
      started.total_steps = report.started().total_steps();
      started.resumed_step = report.started().resumed_step();
      started.steps_executed_before = report.started().steps_executed_before();
      started.kept_ranks.assign(report.started().kept_ranks().begin(),
                                report.started().kept_ranks().end());
      started.notes.assign(report.started().notes().begin(), report.started().notes().end());
      if (!report.started().bits_not_guaranteed().empty()) {
        started.notes.push_back("bits_not_guaranteed: " + report.started().bits_not_guaranteed());
      }
      started.data = FromData(report.started().data());
      out.what = std::move(started);
      return out;
    }
    case v1::Report::kStep:
      out.what = core::StepReported{.step = report.step().step(),
                                    .epoch = report.step().epoch(),
                                    .loss = report.step().loss(),
                                    .grad_norm = report.step().grad_norm(),
                                    .learning_rate = report.step().learning_rate(),
                                    .tokens = report.step().tokens(),
                                    .seconds = report.step().seconds()};
      return out;
    case v1::Report::kEval:
      out.what = core::EvalReported{
          .step = report.eval().step(),
          .epoch = report.eval().epoch(),
          .loss = report.eval().loss(),
          .metrics = {report.eval().metrics().begin(), report.eval().metrics().end()},
          .seconds = report.eval().seconds()};
      return out;
    case v1::Report::kSaved:
      out.what = core::SavedReported{.step = report.saved().step(),
                                     .path = report.saved().path(),
                                     .seconds = report.saved().seconds()};
      return out;
    case v1::Report::kFailed:
      out.what = core::FailedReported{.reason = FromProto(report.failed().reason()),
                                      .message = report.failed().message(),
                                      .last_step = report.failed().last_step()};
      return out;
    case v1::Report::kStopped:
      out.what = core::StoppedReported{.last_step = report.stopped().last_step(),
                                       .saved = report.stopped().saved()};
      return out;
    case v1::Report::kDone:
      out.what = core::DoneReported{
          .step = report.done().step(),
          .final_sha256 = report.done().final_sha256(),
          .path = report.done().path(),
          .wandb_folder = report.done().wandb_folder(),
          .evaluation = {report.done().evaluation().begin(), report.done().evaluation().end()}};
      return out;
    case v1::Report::WHAT_NOT_SET:
      break;
  }
  return InvalidArgument("report ", report.sequence(), ": without content");
}

std::optional<store::MetricPoint> PointOf(const core::Reported& report) {
  store::MetricPoint point;
  point.epoch = report.epoch;
  point.time = report.time;
  if (const auto* step = std::get_if<core::StepReported>(&report.what)) {
    point.step = step->step;
    point.values = {{"loss", step->loss},
                    {"grad_norm", step->grad_norm},
                    {"learning_rate", step->learning_rate},
                    {"tokens", static_cast<double>(step->tokens)},
                    {"seconds", step->seconds},
                    {"epoch", step->epoch}};
    if (step->seconds > 0) {
      point.values["tokens_per_second"] = static_cast<double>(step->tokens) / step->seconds;
    }
    return point;
  }
  if (const auto* eval = std::get_if<core::EvalReported>(&report.what)) {
    point.step = eval->step;
    point.values = {{"tuning_loss", eval->loss}};
    for (const auto& [name, value] : eval->metrics) point.values["tuning_" + name] = value;
    return point;
  }
  return std::nullopt;
}

}  // namespace anamnesis::coordinator
