// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/output_directory.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "common/io/lock.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::agent {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecord = "run.json";

// What a run of ours makes; other things in the folder stay when it is replaced.
bool IsMadeByRun(const std::string& name) {
  return name == "final_model" || name == "runs" || name.starts_with("checkpoint-") ||
         name.starts_with(checkpoint::kStagingPrefix);
}

Status RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return Internal(path, ": cannot be removed: ", error.message());
  return absl::OkStatus();
}

// The files of a whole model, by its manifest.
Status RemoveWholeModel(const OutputDirectory& output) {
  const StatusOr<checkpoint::Manifest> manifest = checkpoint::ReadManifest(output.marker);
  if (manifest.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  ANAM_RETURN_IF_ERROR(manifest.status());
  for (const checkpoint::FileEntry& file : manifest->files) {
    ANAM_RETURN_IF_ERROR(RemoveAll(Cat(output.directory, "/", file.name)));
  }
  return absl::OkStatus();
}

Status RemoveEarlierRun(const OutputDirectory& output) {
  ANAM_RETURN_IF_ERROR(RemoveWholeModel(output));
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(output.directory));
  for (const std::string& name : names) {
    if (IsMadeByRun(name)) ANAM_RETURN_IF_ERROR(RemoveAll(Cat(output.directory, "/", name)));
  }
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> marked, ListDirectory(output.marker));
  for (const std::string& name : marked) {
    if (name != "lock") ANAM_RETURN_IF_ERROR(RemoveAll(Cat(output.marker, "/", name)));
  }
  return absl::OkStatus();
}

// The first free name directory.old-1, directory.old-2, …
StatusOr<std::string> MoveAside(const std::string& directory) {
  for (int number = 1; number < 10'000; ++number) {
    const std::string target = Cat(directory, ".old-", number);
    if (PathExists(target)) continue;
    if (std::rename(directory.c_str(), target.c_str()) != 0) {
      return InvalidArgument(directory, ": cannot be moved aside to ", target, ": ",
                             ErrnoText(errno));
    }
    return target;
  }
  return Internal(directory, ": no free name to move it to");
}

}  // namespace

StatusOr<OutputAction> ChooseOutputAction(const std::string& directory, OutputState state,
                                          bool overwrite, bool resume) {
  switch (state) {
    case OutputState::kEmpty:
      return OutputAction::kStart;
    case OutputState::kOurs:
      if (resume) return OutputAction::kResume;
      if (overwrite) return OutputAction::kReplace;
      return AlreadyExists("training.output_dir: ", directory,
                           " holds an earlier run; continue it with --resume, replace it with "
                           "training.overwrite_output_dir: true, or name another folder");
    case OutputState::kForeign:
      if (overwrite && !resume) return OutputAction::kMoveAside;
      return AlreadyExists(
          "training.output_dir: ", directory, " is not empty and holds no run of ours",
          resume
              ? ", so there is nothing to resume; name the run's folder"
              : "; name another folder, or let training.overwrite_output_dir: true move it aside");
  }
  return Internal("unknown state of ", directory);
}

StatusOr<OutputState> LookAtOutput(const std::string& directory) {
  if (!PathExists(directory)) return OutputState::kEmpty;
  if (!IsDirectory(directory))
    return InvalidArgument("training.output_dir: ", directory, " is no folder");
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  if (names.empty()) return OutputState::kEmpty;
  const std::string marker = Cat(directory, "/", kMarker);
  if (PathExists(Cat(marker, "/", kRecord))) return OutputState::kOurs;
  // A marker alone is left by a start that was interrupted before it wrote anything.
  return names.size() == 1 && names.front() == kMarker ? OutputState::kEmpty
                                                       : OutputState::kForeign;
}

StatusOr<OutputDirectory> OpenOutput(const std::string& directory, const OpenRules& rules) {
  OutputDirectory output;
  output.directory = directory;
  output.marker = Cat(directory, "/", kMarker);
  ANAM_ASSIGN_OR_RETURN(OutputState state, LookAtOutput(directory));
  const std::string lock_path = output.marker + "/lock";
  if (state != OutputState::kForeign) {
    if (PathExists(lock_path)) {  // a live gang is named before the rules of what it leaves
      StatusOr<FileDescriptor> lock = LockPath(lock_path, rules.patience);
      if (!lock.ok() && rules.fenced) lock = FileDescriptor();
      if (!lock.ok() && lock.status().code() == absl::StatusCode::kAlreadyExists) {
        return AlreadyExists("training.output_dir: ", directory,
                             " is in use by a running gang; wait for it or stop it");
      }
      ANAM_RETURN_IF_ERROR(lock.status());
      output.lock = *std::move(lock);
      ANAM_ASSIGN_OR_RETURN(state,
                            LookAtOutput(directory));  // as the gang that held it has left it
    }
  }
  ANAM_ASSIGN_OR_RETURN(output.action,
                        ChooseOutputAction(directory, state, rules.overwrite, rules.resume));
  if (output.action == OutputAction::kMoveAside) {
    ANAM_ASSIGN_OR_RETURN(output.moved_to, MoveAside(directory));
  }
  ANAM_RETURN_IF_ERROR(MakeDirectories(output.marker));
  const bool passes_by = rules.fenced && output.action == OutputAction::kResume;
  if (!output.lock.valid() && !passes_by) {
    StatusOr<FileDescriptor> lock = LockPath(lock_path, rules.patience);
    ANAM_RETURN_IF_ERROR(AddContext(lock.status(), "training.output_dir"));
    output.lock = *std::move(lock);
    const bool is_new =
        output.action == OutputAction::kStart || output.action == OutputAction::kMoveAside;
    if (is_new && PathExists(Cat(output.marker, "/", kRecord))) {
      return AlreadyExists("training.output_dir: ", directory,
                           ": another run has just started there");
    }
  }
  if (output.action == OutputAction::kReplace) ANAM_RETURN_IF_ERROR(RemoveEarlierRun(output));
  return output;
}

}  // namespace anamnesis::agent
