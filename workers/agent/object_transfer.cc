// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/object_transfer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>

#include "absl/time/clock.h"
#include "common/io/file.h"
#include "common/process/spawn.h"
#include "workers/agent/output_directory.h"
#include "workers/checkpoint/manifest.h"
#include "workers/object_store/store_errors.h"

extern char** environ;

namespace anamnesis::agent {
namespace {

constexpr std::string_view kCheckpointPrefix = "checkpoint-";
constexpr char kRunRecord[] = ".run.json";
constexpr absl::Duration kLook = absl::Milliseconds(100);  // for a cancellation

struct StoredFolder {
  std::string name;
  int64_t epoch = 0;
  int64_t step = 0;  // of final_model: the last one
};

bool ParseNumber(std::string_view text, int64_t* number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stop == end && *number >= 0;
}

std::optional<StoredFolder> ParseStored(std::string_view text) {
  const size_t dot = text.rfind('.');
  StoredFolder folder;
  if (dot == std::string_view::npos || !ParseNumber(text.substr(dot + 1), &folder.epoch)) {
    return std::nullopt;
  }
  folder.name = text.substr(0, dot);
  if (folder.name == "final_model") {
    folder.step = std::numeric_limits<int64_t>::max();
    return folder;
  }
  std::string_view step = folder.name;
  if (!step.starts_with(kCheckpointPrefix)) return std::nullopt;
  step.remove_prefix(kCheckpointPrefix.size());
  if (!ParseNumber(step, &folder.step)) return std::nullopt;
  return folder;
}

// All but the worker's secret.
std::vector<std::string> StoreEnvironment() {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("ANAMNESIS_WORKER_TOKEN")) {
      environment.emplace_back(*entry);
    }
  }
  return environment;
}

bool IsAway(const Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

}  // namespace

std::vector<std::string> OldFolders(const std::vector<std::string>& stored,
                                    const std::vector<std::string>& kept,
                                    const StagedFolder& committed) {
  const auto now = ParseStored(Cat(committed.name, ".", committed.epoch));
  std::vector<std::string> old;
  for (const std::string& entry : stored) {
    const auto folder = ParseStored(entry);
    if (!now || !folder || folder->epoch > now->epoch) continue;  // not ours to judge
    const bool same_epoch = folder->epoch == now->epoch;
    const bool goes = folder->step < now->step
                          ? std::find(kept.begin(), kept.end(), folder->name) == kept.end()
                          : !same_epoch;  // of this epoch: it, or one that waits for its answer
    if (goes) old.push_back(entry);
  }
  return old;
}

StatusOr<std::string> ObjectTransfer::RunOnce(const std::vector<std::string>& arguments) {
  ::unlink(options_.log_path.c_str());
  SpawnOptions spawn{.argv = {options_.program, "--with-parent"},
                     .environment = StoreEnvironment(),
                     .log_path = options_.log_path,
                     .own_process_group = false};
  spawn.argv.insert(spawn.argv.end(), arguments.begin(), arguments.end());
  ANAM_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn(spawn));
  std::optional<ExitState> end;
  while (!(end = child.Poll())) {
    if (cancelled_) return absl::CancelledError("the upload was given up");  // kills it
    pollfd ended{child.pidfd(), POLLIN, 0};
    ::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kLook)));
  }
  const StatusOr<std::string> log = ReadFile(options_.log_path);
  if (end->signal != 0) {
    return Unavailable(options_.program, ": was ended by signal ", end->signal);
  }
  if (end->exit_code != 0) return object_store::StatusOfLog(log.ok() ? *log : "");
  return log.ok() ? *log : "";
}

StatusOr<std::string> ObjectTransfer::Persist(const std::vector<std::string>& arguments,
                                              const std::function<void()>& before) {
  const absl::Time begin = absl::Now();
  absl::Duration pause = options_.first_pause;
  for (;;) {
    before();
    StatusOr<std::string> result = RunOnce(arguments);
    if (result.ok() || !IsAway(result.status()) || cancelled_) return result;
    if (absl::Now() - begin > options_.patience) return result;
    std::fprintf(stderr, "%s; trying again\n", MessageOf(result.status()).c_str());
    const absl::Time next = absl::Now() + pause;
    while (absl::Now() < next && !cancelled_) {
      std::this_thread::sleep_for(absl::ToChronoMilliseconds(std::min(kLook, pause)));
    }
    pause = std::min(pause * 2, options_.longest_pause);
  }
}

StatusOr<std::vector<std::string>> ObjectTransfer::List(bool persist) {
  const std::vector<std::string> arguments = {"list", options_.store};
  ANAM_ASSIGN_OR_RETURN(const std::string text, persist ? Persist(arguments) : RunOnce(arguments));
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) names.push_back(line);
  return names;
}

Status ObjectTransfer::Put(const StagedFolder& folder) {
  return Persist({"put", folder.path(), Cat(options_.store, "/", folder.name, ".", folder.epoch),
                  "--record", Cat(folder.output_directory, "/", kMarker, "/run.json")})
      .status();
}

Status ObjectTransfer::RemoveOld(const StagedFolder& committed) {
  std::vector<std::string> kept;
  // What is staged first: a rank may be about to publish it.
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListDirectory(committed.output_directory));
  const std::string staging = Cat(checkpoint::kStagingPrefix, committed.epoch, "-");
  for (const std::string& name : names) {
    if (name.starts_with(staging)) kept.push_back(name.substr(staging.size()));
  }
  ANAM_ASSIGN_OR_RETURN(const std::vector<checkpoint::CheckpointPath> visible,
                        checkpoint::ListCheckpoints(committed.output_directory));
  for (const checkpoint::CheckpointPath& path : visible) {
    kept.push_back(std::filesystem::path(path.path).filename().string());
  }
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> stored, List(/*persist=*/false));
  for (const std::string& old : OldFolders(stored, kept, committed)) {
    ANAM_RETURN_IF_ERROR(RunOnce({"remove", Cat(options_.store, "/", old)}).status());
  }
  return absl::OkStatus();
}

Status ObjectTransfer::Get(const v1::Grant& grant, const std::string& output_directory) {
  if (grant.committed_step() == 0) {  // a wrong key or bucket is found before hours of training
    ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> stored, List(/*persist=*/true));
    if (grant.epoch() > 1 || stored.empty()) return absl::OkStatus();
    return AlreadyExists(options_.store,
                         ": holds checkpoints already, of another coordinator's "
                         "job; give each coordinator a prefix of its own");
  }
  ANAM_ASSIGN_OR_RETURN(const bool has_it, HasCommitted(grant, output_directory));
  if (has_it) return absl::OkStatus();
  const std::string name = Cat(kCheckpointPrefix, grant.committed_step());
  const std::string url = Cat(options_.store, "/", name, ".", grant.committed_epoch());
  const std::string marker = Cat(output_directory, "/", kMarker);
  ANAM_RETURN_IF_ERROR(MakeDirectories(marker));  // alone, it does not take the folder
  const std::string arrived = Cat(marker, "/arriving-", name);
  const auto clear = [&] {  // of a try that was cut off
    std::error_code error;
    std::filesystem::remove_all(arrived, error);
  };
  ANAM_RETURN_IF_ERROR(Persist({"get", url, arrived}, clear).status());
  const StatusOr<std::string> record = ReadFile(Cat(arrived, "/", kRunRecord));
  if (!record.ok()) return DataLoss(url, ": the run's record is not there");
  ::unlink(Cat(arrived, "/", kRunRecord).c_str());
  ANAM_RETURN_IF_ERROR(WriteFileDurably(marker + "/run.json", *record));
  return AddContext(TakeArrived(arrived, output_directory, name, grant.committed_sha256()), url);
}

}  // namespace anamnesis::agent
