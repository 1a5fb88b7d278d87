// SPDX-License-Identifier: Apache-2.0
#include "services/launch/local.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "common/process/spawn.h"

extern char** environ;

namespace anamnesis::launch {
namespace {

std::string Number(core::JobId job) { return std::to_string(static_cast<int64_t>(job)); }

}  // namespace

std::string LocalLauncher::LogPath(core::JobId job) const {
  return Cat(options_.data_directory, "/jobs/", Number(job), "/worker.log");
}

StatusOr<core::WorkerProcess> LocalLauncher::Launch(core::JobId job, int64_t epoch,
                                                    const std::string& token) {
  // Nothing may fail once the worker runs under watch: the caller takes an error for no worker.
  ANAM_ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  ANAM_RETURN_IF_ERROR(MakeDirectories(Cat(options_.data_directory, "/jobs/", Number(job))));
  SpawnOptions spawn{
      .argv = {options_.worker_program, "attempt", "--coordinator", options_.worker_address,
               "--job", Number(job), "--epoch", std::to_string(epoch)},
      .log_path = LogPath(job),
      .own_session = true};
  for (char** entry = environ; *entry != nullptr; ++entry) spawn.environment.emplace_back(*entry);
  spawn.environment.push_back("ANAMNESIS_WORKER_TOKEN=" + token);
  ANAM_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn(spawn));
  ANAM_ASSIGN_OR_RETURN(const ProcessIdentity identity, IdentityOf(child.pid()));
  ANAM_ASSIGN_OR_RETURN(WatchedProcess watched, WatchedProcess::Open(identity));
  child.Release();
  workers_.insert_or_assign(job, std::move(watched));
  return core::WorkerProcess{.host = HostName(),
                             .boot_id = boot_id,
                             .pid = identity.pid,
                             .start_ticks = identity.start_ticks};
}

Status LocalLauncher::Adopt(core::JobId job, const core::WorkerProcess& worker) {
  ANAM_ASSIGN_OR_RETURN(
      WatchedProcess watched,
      WatchedProcess::Open({.pid = worker.pid, .start_ticks = worker.start_ticks}));
  workers_.insert_or_assign(job, std::move(watched));
  return absl::OkStatus();
}

bool LocalLauncher::Kill(core::JobId job, bool at_once) {
  const auto worker = workers_.find(job);
  if (worker == workers_.end()) return false;
  if (!at_once) {
    worker->second.Signal(SIGTERM);
  } else if (!worker->second.IsGone()) {
    // Its process group: the worker and what prepares its data. Ranks end with their channel.
    ::kill(-static_cast<pid_t>(worker->second.identity().pid), SIGKILL);
  }
  return true;
}

void LocalLauncher::KillAll() {
  for (auto& [job, worker] : workers_) worker.Signal(SIGKILL);
}

void LocalLauncher::AddDescriptors(std::vector<pollfd>* fds) const {
  for (const auto& [job, worker] : workers_) fds->push_back({worker.pidfd(), POLLIN, 0});
}

std::vector<core::JobId> LocalLauncher::TakeGone() {
  std::vector<core::JobId> gone;
  for (auto worker = workers_.begin(); worker != workers_.end();) {
    if (worker->second.IsGone()) {
      gone.push_back(worker->first);
      worker = workers_.erase(worker);
    } else {
      ++worker;
    }
  }
  return gone;
}

}  // namespace anamnesis::launch
