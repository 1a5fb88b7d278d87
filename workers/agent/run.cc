// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/run.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "absl/time/clock.h"
#include "common/base/sha256.h"
#include "workers/agent/machine.h"
#include "workers/agent/make_plan.h"
#include "workers/agent/output_directory.h"
#include "workers/agent/summary.h"
#include "workers/checkpoint/manifest.h"
#include "workers/gang/restart_rule.h"

namespace anamnesis::agent {
namespace {

// How long --resume waits for a gang that is about to end (its ranks exit within a second of their
// worker).
constexpr absl::Duration kResumePatience = absl::Seconds(2);

// Everything that is known before the output folder is touched.
struct Checked {
  config::JobConfig config;
  Sizing sizing;
  ModelStage model;
  DataStage data;
  std::string rank_program;
};

// What is in the output folder, and what this attempt does with it.
struct Attempt {
  OutputDirectory output;
  RunRecord record;
  std::string checkpoint;  // to continue from, or ""
  int64_t resumed_step = 0;
  int64_t executed_before = 0;
  bool complete = false;  // the run has already ended well: nothing to do
};

StatusOr<Checked> CheckAll(const RunOptions& options) {
  Checked checked;
  ANAM_ASSIGN_OR_RETURN(
      checked.config, config::LoadJobConfig(options.config_path, options.task, options.overrides));
  const config::TrainingSection& training = checked.config.training;
  for (const std::string& note : checked.config.notes)
    std::fprintf(stderr, "note: %s\n", note.c_str());
  ANAM_ASSIGN_OR_RETURN(
      checked.sizing,
      ResolveSizing({.batch_size = training.batch_size,
                     .gradient_accumulation_steps = training.gradient_accumulation_steps,
                     .lanes = training.lanes,
                     .ranks = options.ranks.has_value() ? options.ranks : checked.config.ranks,
                     .threads_per_rank = options.threads_per_rank.has_value()
                                             ? options.threads_per_rank
                                             : training.threads_per_rank,
                     .slots = options.slots,
                     .cores = UsableCores()}));
  ANAM_ASSIGN_OR_RETURN(checked.rank_program, SiblingProgram("anamnesis-rank"));
  ANAM_ASSIGN_OR_RETURN(checked.model, CheckModel(checked.config));
  // An output folder that would be refused is refused before minutes are spent on shards.
  ANAM_ASSIGN_OR_RETURN(const OutputState state, LookAtOutput(training.output_dir));
  ANAM_RETURN_IF_ERROR(
      ChooseOutputAction(training.output_dir, state, training.overwrite_output_dir, options.resume)
          .status());
  ANAM_ASSIGN_OR_RETURN(checked.data,
                        PrepareData(options, checked.config, checked.model.plan.directory,
                                    checked.model.tokenizer_sha256, checked.sizing));
  return checked;
}

std::string NewRunId() {
  std::random_device random;
  const std::string seed =
      Cat(absl::FormatTime(absl::Now()), " ", ::getpid(), " ", random(), random());
  return Sha256Hex(seed).substr(0, 16);
}

RunRecord MakeRecord(const Checked& checked, const std::string& output_directory) {
  RunRecord record;
  record.run_id = NewRunId();
  record.task = config::NameOf(checked.config.task);
  record.attempt = 1;
  record.resolved_spec = checked.config.resolved;
  record.spec_yaml_sha256 = Sha256Hex(checked.config.yaml_text);
  record.stream = stream::ToJson(checked.data.stream);
  record.shards_manifest_sha256 = checked.data.plan.shards_manifest_sha256;
  record.base_model_sha256 = checked.model.plan.sha256;
  const std::string stamp = absl::FormatTime("%b%d_%H-%M-%S", absl::Now(), absl::LocalTimeZone());
  record.tensorboard_directory = Cat(output_directory, "/runs/", stamp, "_", HostName());
  return record;
}

// A final_model that verifies ends the run.
bool IsComplete(const std::string& directory, const RunRecord& record) {
  const std::string final_model = directory + "/final_model";
  const StatusOr<checkpoint::Manifest> manifest = checkpoint::ReadManifest(final_model);
  return manifest.ok() && manifest->run_id == record.run_id && manifest->kind == "final_model" &&
         checkpoint::VerifyFiles(final_model, *manifest).ok();
}

Status Continue(const Checked& checked, Attempt* attempt) {
  const OutputDirectory& output = attempt->output;
  ANAM_ASSIGN_OR_RETURN(RunRecord before, ReadRunRecord(output.marker));
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> keys,
                        KeysThatForbidResume(before, attempt->record));
  if (!keys.empty()) {
    std::string list;
    for (const std::string& key : keys) list += Cat(list.empty() ? "" : ", ", key);
    return FailedPrecondition("--resume: the run in ", output.directory,
                              " was started with other settings: ", list,
                              "; set them back, or start a new run in another folder");
  }
  before.attempt += 1;
  attempt->record = before;
  attempt->complete = IsComplete(output.directory, before);
  if (attempt->complete) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const checkpoint::FoundCheckpoint found,
                        checkpoint::FindLatest(output.directory));
  for (const std::string& line : found.skipped)
    std::fprintf(stderr, "skipped a damaged checkpoint: %s\n", line.c_str());
  attempt->checkpoint = found.directory;
  attempt->resumed_step = found.directory.empty() ? 0 : found.manifest.step;
  if (!found.directory.empty() && found.manifest.stream_digest != checked.data.plan.stream_digest) {
    return FailedPrecondition(found.directory, ": stream_digest ", found.manifest.stream_digest,
                              ", this run has ", checked.data.plan.stream_digest);
  }
  ANAM_ASSIGN_OR_RETURN(attempt->executed_before, StepsExecuted(output.marker));
  if (found.directory.empty()) {
    std::fprintf(stderr, "resume: no checkpoint in %s, starting at step 0\n",
                 output.directory.c_str());
  } else {
    std::fprintf(stderr, "resume: continuing after step %lld\n",
                 static_cast<long long>(attempt->resumed_step));
  }
  return absl::OkStatus();
}

StatusOr<Attempt> OpenAttempt(const RunOptions& options, const Checked& checked) {
  const config::TrainingSection& training = checked.config.training;
  Attempt attempt;
  ANAM_ASSIGN_OR_RETURN(
      attempt.output, OpenOutput(training.output_dir, training.overwrite_output_dir, options.resume,
                                 options.resume ? kResumePatience : absl::ZeroDuration()));
  if (!attempt.output.moved_to.empty()) {
    std::fprintf(stderr, "note: the folder that was there is now %s\n",
                 attempt.output.moved_to.c_str());
  }
  attempt.record = MakeRecord(checked, training.output_dir);
  if (attempt.output.action == OutputAction::kResume) {
    ANAM_RETURN_IF_ERROR(Continue(checked, &attempt));
  } else if (options.resume) {
    std::fprintf(stderr, "resume: nothing to resume in %s, starting at step 0\n",
                 training.output_dir.c_str());
  }
  if (attempt.complete) return attempt;
  ANAM_RETURN_IF_ERROR(checkpoint::RemoveStaging(training.output_dir));
  ANAM_RETURN_IF_ERROR(WriteRunRecord(attempt.output.marker, attempt.record));
  return attempt;
}

gang::GangOptions MakeGang(const RunOptions& options, const Checked& checked,
                           const Attempt& attempt, const std::vector<std::string>& plans) {
  gang::GangOptions gang;
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    const std::string log = Cat(attempt.output.marker, "/rank-", rank, ".log");
    ::unlink(log.c_str());
    gang.ranks.push_back(
        {.argv = {checked.rank_program, plans[rank]},
         .environment = gang::RankEnvironment(static_cast<int>(checked.sizing.threads)),
         .log_path = log});
  }
  gang.stall.floor = absl::Seconds(options.stall_seconds);
  return gang;
}

void Announce(const Checked& checked, const Attempt& attempt) {
  const Sizing& sizing = checked.sizing;
  std::fprintf(stderr, "%s\n", DescribeTotals("train", checked.data.train).c_str());
  if (!checked.data.plan.tuning_index.empty()) {
    std::fprintf(stderr, "%s\n", DescribeTotals("tuning", checked.data.tuning).c_str());
  }
  std::fprintf(stderr,
               "run %s: %lld steps of %lld rows, %lld lanes, %lld ranks x %lld threads, %s\n",
               attempt.record.run_id.c_str(), static_cast<long long>(checked.data.total_steps),
               static_cast<long long>(sizing.rows_per_step), static_cast<long long>(sizing.lanes),
               static_cast<long long>(sizing.ranks), static_cast<long long>(sizing.threads),
               checked.model.plan.dtype.c_str());
}

// The step that a resume would continue from.
int64_t NewestCheckpointStep(const std::string& directory) {
  const StatusOr<std::vector<checkpoint::CheckpointPath>> all =
      checkpoint::ListCheckpoints(directory);
  return all.ok() && !all->empty() ? all->back().step : 0;
}

Status Train(const RunOptions& options, const Checked& checked, const Attempt& attempt) {
  const std::string& marker = attempt.output.marker;
  const PlanInput input{.config = checked.config,
                        .model = checked.model,
                        .data = checked.data,
                        .sizing = checked.sizing,
                        .record = attempt.record,
                        .output_directory = attempt.output.directory,
                        .resume_checkpoint = attempt.checkpoint,
                        .steps_executed_before = attempt.executed_before};
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> plans, WritePlans(MakePlan(input), marker));
  ANAM_ASSIGN_OR_RETURN(StepCounter counter, StepCounter::Create(marker, attempt.record.attempt));
  Announce(checked, attempt);
  gang::GangOptions gang = MakeGang(options, checked, attempt, plans);
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor interrupts, CatchInterrupts());
  gang.interrupt_fd = interrupts.get();
  Progress progress(stderr, checked.data.total_steps, checked.config.training.logging_steps,
                    checked.sizing.ranks, &counter, &SinceProcessStart);
  const gang::Outcome outcome = gang::RunGang(gang, progress);

  SummaryInput summary{.figures = progress.figures(),
                       .outcome = outcome,
                       .data = checked.data,
                       .run_id = attempt.record.run_id,
                       .attempt = attempt.record.attempt,
                       .output_directory = attempt.output.directory,
                       .tensorboard_directory = attempt.record.tensorboard_directory,
                       .resumed_step = attempt.resumed_step,
                       .steps_executed = attempt.executed_before + counter.count(),
                       .wall_seconds = absl::ToInt64Seconds(SinceProcessStart())};
  if (!outcome.status.ok()) {
    const gang::RestartAdvice advice =
        gang::AdviseRestart(outcome.status, NewestCheckpointStep(attempt.output.directory));
    summary.advice = advice.reason;
    if (advice.choice == gang::RestartChoice::kTellUserToResume)
      summary.resume_command = ResumeCommand(options);
  }
  const Status written =
      WriteFileDurably(marker + "/summary.json", SummaryJson(summary).dump(2) + "\n");
  if (outcome.culprit >= 0) {
    std::fprintf(stderr, "the rank's own log: %s/rank-%d.log\n", marker.c_str(), outcome.culprit);
  }
  std::fputs(SummaryText(summary).c_str(), stderr);
  ANAM_RETURN_IF_ERROR(outcome.status);
  if (!options.keep_plan) {
    for (const std::string& plan : plans) ::unlink(plan.c_str());
  }
  return written;
}

Status Run(const RunOptions& options) {
  ANAM_ASSIGN_OR_RETURN(const Checked checked, CheckAll(options));
  ANAM_ASSIGN_OR_RETURN(const Attempt attempt, OpenAttempt(options, checked));
  if (attempt.complete) {
    std::fprintf(stderr, "the run is complete already: %s/final_model\n",
                 attempt.output.directory.c_str());
    return absl::OkStatus();
  }
  return Train(options, checked, attempt);
}

}  // namespace

int RunCommand(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  int exit_code = 0;
  const std::optional<RunOptions> options = ParseRunOptions(argc, argv, &exit_code);
  if (!options.has_value()) return exit_code;
  const Status status = Run(*options);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

}  // namespace anamnesis::agent
