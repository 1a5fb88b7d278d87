// SPDX-License-Identifier: Apache-2.0
#include "services/launch/local.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/base/sha256.h"
#include "common/process/spawn.h"

extern char** environ;

namespace anamnesis::launch {
namespace {

std::string Number(core::JobId job) { return std::to_string(static_cast<int64_t>(job)); }

// The process group: the worker and what prepares its data. Ranks end with their channel.
void KillGroup(WatchedProcess& worker) {
  if (!worker.IsGone()) ::kill(-static_cast<pid_t>(worker.identity().pid), SIGKILL);
}

// The workers beside the one that leads, as the store keeps them: "PID.TICKS,PID.TICKS".
std::string HandleOf(const std::vector<WatchedProcess>& others) {
  std::string handle;
  for (const WatchedProcess& worker : others) {
    handle +=
        Cat(handle.empty() ? "" : ",", worker.identity().pid, ".", worker.identity().start_ticks);
  }
  return handle;
}

// Those of them that still run.
std::vector<WatchedProcess> OpenHandle(const std::string& handle) {
  std::vector<WatchedProcess> workers;
  const char* at = handle.data();
  const char* const end = at + handle.size();
  while (at < end) {
    ProcessIdentity identity;
    at = std::from_chars(at, end, identity.pid).ptr;
    if (at == end || *at != '.') break;
    at = std::from_chars(at + 1, end, identity.start_ticks).ptr;
    if (at < end) ++at;  // the comma
    StatusOr<WatchedProcess> worker = WatchedProcess::Open(identity);
    if (worker.ok()) workers.push_back(*std::move(worker));
  }
  return workers;
}

}  // namespace

StatusOr<std::unique_ptr<LocalLauncher>> LocalLauncher::Create(LocalOptions options) {
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<Outbox> outbox, Outbox::Create());
  return std::unique_ptr<LocalLauncher>(new LocalLauncher(std::move(options), std::move(outbox)));
}

std::string LocalLauncher::LogPath(core::JobId job) const {
  return Cat(options_.data_directory, "/jobs/", Number(job), "/worker.log");
}

// One for all of a job's workers and ranks; other coordinators have other data directories.
std::string LocalLauncher::GroupOf(core::JobId job) const {
  return Cat("anamnesis-", Sha256Hex(options_.data_directory).substr(0, 8), "-", Number(job));
}

StatusOr<WatchedProcess> LocalLauncher::Spawn(const LaunchRequest& request, int64_t node) const {
  SpawnOptions spawn{
      .argv = {options_.worker_program, "attempt", "--coordinator", request.worker_address, "--job",
               Number(request.job), "--epoch", std::to_string(request.epoch)},
      .log_path = LogPath(request.job),
      .own_session = true};
  if (node > 0) {
    spawn.argv.insert(spawn.argv.end(), {"--node", std::to_string(node)});
    spawn.log_path += Cat("-", node);
  }
  for (int64_t rank = node * request.ranks_per_node;
       rank < std::min(request.ranks, (node + 1) * request.ranks_per_node); ++rank) {
    if (request.rank_cpus.empty()) break;
    const std::vector<int>& cpus = request.rank_cpus[static_cast<size_t>(rank)];
    spawn.cpus.insert(spawn.cpus.end(), cpus.begin(), cpus.end());
  }
  for (char** entry = environ; *entry != nullptr; ++entry) spawn.environment.emplace_back(*entry);
  spawn.environment.push_back("ANAMNESIS_WORKER_TOKEN=" + request.token);
  ANAM_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn(spawn));
  // It has started nothing yet; an error ends it.
  if (options_.groups) {
    ANAM_RETURN_IF_ERROR(options_.groups->Enter(GroupOf(request.job), child.pid()));
  }
  ANAM_ASSIGN_OR_RETURN(const ProcessIdentity identity, IdentityOf(child.pid()));
  ANAM_ASSIGN_OR_RETURN(WatchedProcess watched, WatchedProcess::Open(identity));
  child.Release();
  return watched;
}

StatusOr<core::WorkerProcess> LocalLauncher::Start(const LaunchRequest& request) {
  // Nothing may fail once the worker runs under watch: an error means that nothing runs.
  ANAM_ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  ANAM_RETURN_IF_ERROR(
      MakeDirectories(Cat(options_.data_directory, "/jobs/", Number(request.job))));
  if (options_.groups) {
    ANAM_RETURN_IF_ERROR(
        options_.groups->Limit(GroupOf(request.job), request.ranks * options_.memory_per_rank));
  }
  ANAM_ASSIGN_OR_RETURN(WatchedProcess lead, Spawn(request, 0));
  Gang gang{.epoch = request.epoch, .lead = std::move(lead)};
  Status status;
  for (int64_t node = 1; node < request.nodes && status.ok(); ++node) {
    StatusOr<WatchedProcess> worker = Spawn(request, node);
    status = worker.status();
    if (worker.ok()) gang.others.push_back(*std::move(worker));
  }
  if (!status.ok()) {
    KillGroup(gang.lead);
    for (WatchedProcess& worker : gang.others) KillGroup(worker);
    return status;
  }
  const core::WorkerProcess worker{.host = HostName(),
                                   .boot_id = boot_id,
                                   .pid = gang.lead.identity().pid,
                                   .start_ticks = gang.lead.identity().start_ticks,
                                   .handle = HandleOf(gang.others)};
  gangs_.insert_or_assign(request.job, std::move(gang));
  return worker;
}

void LocalLauncher::Launch(const LaunchRequest& request) {
  const StatusOr<core::WorkerProcess> worker = Start(request);
  if (worker.ok()) {
    outbox_->Put(core::Launched{.job = request.job, .epoch = request.epoch, .worker = *worker});
  } else {
    outbox_->Put(core::LaunchFailed{
        .job = request.job, .epoch = request.epoch, .message = MessageOf(worker.status())});
  }
}

void LocalLauncher::Reconcile(const std::vector<Known>& known) {
  const StatusOr<std::string> boot_id = BootId();
  for (const auto& [job, epoch, worker] : known) {
    if (worker.boot_id.empty()) continue;  // it comes, or its lease runs out
    const bool rebooted = boot_id.ok() && worker.boot_id != *boot_id;
    if (!rebooted) {
      StatusOr<WatchedProcess> lead =
          WatchedProcess::Open({.pid = worker.pid, .start_ticks = worker.start_ticks});
      std::vector<WatchedProcess> others = OpenHandle(worker.handle);
      if (lead.ok()) {
        gangs_.insert_or_assign(job, Gang{epoch, *std::move(lead), std::move(others)});
        continue;
      }
      for (WatchedProcess& other : others) KillGroup(other);
    }
    outbox_->Put(
        core::WorkerGone{.job = job,
                         .epoch = epoch,
                         .reason = rebooted ? core::Reason::kReboot : core::Reason::kWorkerLost,
                         .message = rebooted ? "the machine was started anew"
                                             : "the worker ended while no coordinator was there"});
  }
}

// One whose launch was not recorded (the coordinator ended in between) is watched from now on.
void LocalLauncher::Meet(core::JobId job, int64_t epoch, const core::WorkerProcess& worker) {
  if (!worker.boot_id.empty() || Watches(job)) return;
  const StatusOr<ProcessIdentity> identity = IdentityOf(worker.pid);
  const StatusOr<std::string> boot_id = BootId();
  if (!identity.ok() || !boot_id.ok()) return;  // its lease runs out
  StatusOr<WatchedProcess> lead = WatchedProcess::Open(*identity);
  if (!lead.ok()) return;
  gangs_.insert_or_assign(job, Gang{.epoch = epoch, .lead = *std::move(lead)});
  outbox_->Put(core::Launched{.job = job,
                              .epoch = epoch,
                              .worker = {.host = worker.host,
                                         .boot_id = *boot_id,
                                         .pid = identity->pid,
                                         .start_ticks = identity->start_ticks}});
}

bool LocalLauncher::Stop(core::JobId job, bool at_once) {
  const auto gang = gangs_.find(job);
  if (gang == gangs_.end()) return false;
  if (!at_once) {
    gang->second.lead.Signal(SIGTERM);
  } else {
    KillGroup(gang->second.lead);
    for (WatchedProcess& worker : gang->second.others) KillGroup(worker);
  }
  return true;
}

void LocalLauncher::StopAll() {
  for (auto& [job, gang] : gangs_) {
    gang.lead.Signal(SIGKILL);
    for (WatchedProcess& worker : gang.others) worker.Signal(SIGKILL);
  }
}

void LocalLauncher::AddDescriptors(std::vector<pollfd>* fds) const {
  fds->push_back({outbox_->fd(), POLLIN, 0});
  for (const auto& [job, gang] : gangs_) fds->push_back({gang.lead.pidfd(), POLLIN, 0});
}

std::vector<core::Event> LocalLauncher::Observe() {
  std::vector<core::Event> events = outbox_->Take();
  for (auto gang = gangs_.begin(); gang != gangs_.end();) {
    if (!gang->second.lead.IsGone()) {
      ++gang;
      continue;
    }
    for (WatchedProcess& worker : gang->second.others) {
      KillGroup(worker);
      worker.IsGone();  // reaps it once it has ended
    }
    events.push_back(core::WorkerGone{
        .job = gang->first, .epoch = gang->second.epoch, .message = "the worker's process ended"});
    if (options_.groups) options_.groups->Remove(GroupOf(gang->first));
    gang = gangs_.erase(gang);
  }
  return events;
}

}  // namespace anamnesis::launch
