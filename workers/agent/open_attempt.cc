// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/open_attempt.h"

#include <unistd.h>

#include <cstdio>
#include <random>

#include "absl/time/clock.h"
#include "common/base/sha256.h"
#include "common/process/identity.h"
#include "workers/checkpoint/manifest.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::agent {
namespace {

// How long a resume waits for a gang that is about to end (its ranks exit within a second of their
// worker).
constexpr absl::Duration kResumePatience = absl::Seconds(2);

std::string NewRunId() {
  std::random_device random;
  const std::string seed =
      Cat(absl::FormatTime(absl::Now()), " ", ::getpid(), " ", random(), random());
  return Sha256Hex(seed).substr(0, 16);
}

RunRecord MakeRecord(const RunOptions& options, const Checked& checked,
                     const std::string& output_directory) {
  RunRecord record;
  record.run_id = options.service.has_value() ? options.service->run_id : NewRunId();
  record.task = config::NameOf(checked.config.task);
  record.attempt = options.service.has_value() ? options.service->epoch : 1;
  record.resolved_spec = checked.config.resolved;
  record.spec_yaml_sha256 = Sha256Hex(checked.config.yaml_text);
  record.stream = stream::ToJson(checked.data.stream);
  record.shards_manifest_sha256 = checked.data.plan.shards_manifest_sha256;
  record.base_model_sha256 = checked.model.plan.sha256;
  const std::string stamp = absl::FormatTime("%b%d_%H-%M-%S", absl::Now(), absl::LocalTimeZone());
  record.tensorboard_directory = Cat(output_directory, "/runs/", stamp, "_", HostName());
  return record;
}

// A final model that verifies ends the run.
bool IsComplete(const checkpoint::FinalModel& final_model, const RunRecord& record) {
  const StatusOr<checkpoint::Manifest> manifest =
      checkpoint::ReadManifest(final_model.manifest_directory);
  return manifest.ok() && manifest->run_id == record.run_id && manifest->kind == "final_model" &&
         checkpoint::VerifyFiles(final_model.directory, *manifest).ok();
}

Status Continue(const RunOptions& options, const Checked& checked, Attempt* attempt) {
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
  before.attempt = options.service.has_value() ? options.service->epoch : before.attempt + 1;
  attempt->record = before;
  attempt->complete = IsComplete(
      checkpoint::FinalModelOf(output.directory, TrainsWholeModel(checked.config)), before);
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

// A run of the service knows its folder again by its id: an attempt before it may have died before
// or after it took the folder.
StatusOr<bool> WantsResume(const RunOptions& options, const std::string& directory) {
  if (!options.service.has_value()) return options.resume;
  ANAM_ASSIGN_OR_RETURN(const OutputState state, LookAtOutput(directory));
  if (state != OutputState::kOurs) return false;
  ANAM_ASSIGN_OR_RETURN(const RunRecord record, ReadRunRecord(Cat(directory, "/", kMarker)));
  return record.run_id == options.service->run_id;
}

}  // namespace

Status CheckOutput(const RunOptions& options, const std::string& directory, bool overwrite) {
  ANAM_ASSIGN_OR_RETURN(const bool resume, WantsResume(options, directory));
  ANAM_ASSIGN_OR_RETURN(const OutputState state, LookAtOutput(directory));
  return ChooseOutputAction(directory, state, overwrite, resume).status();
}

StatusOr<Attempt> OpenAttempt(const RunOptions& options, const Checked& checked) {
  const config::TrainingSection& training = checked.config.training;
  Attempt attempt;
  ANAM_ASSIGN_OR_RETURN(const bool resume, WantsResume(options, training.output_dir));
  const bool holds_folder = options.service.has_value() && options.service->holds_folder;
  ANAM_ASSIGN_OR_RETURN(
      attempt.output,
      OpenOutput(training.output_dir,
                 {.overwrite = training.overwrite_output_dir,
                  .resume = resume,
                  .patience = resume && !holds_folder ? kResumePatience : absl::ZeroDuration(),
                  .fenced = options.service.has_value() && resume}));
  if (!attempt.output.moved_to.empty()) {
    std::fprintf(stderr, "note: the folder that was there is now %s\n",
                 attempt.output.moved_to.c_str());
  }
  attempt.record = MakeRecord(options, checked, training.output_dir);
  if (attempt.output.action == OutputAction::kResume) {
    ANAM_RETURN_IF_ERROR(Continue(options, checked, &attempt));
  } else if (resume) {
    std::fprintf(stderr, "resume: nothing to resume in %s, starting at step 0\n",
                 training.output_dir.c_str());
  }
  if (attempt.complete) return attempt;
  ANAM_RETURN_IF_ERROR(checkpoint::RemoveStaging(training.output_dir));
  ANAM_RETURN_IF_ERROR(WriteRunRecord(attempt.output.marker, attempt.record));
  return attempt;
}

}  // namespace anamnesis::agent
