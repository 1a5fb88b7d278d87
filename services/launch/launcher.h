// SPDX-License-Identifier: Apache-2.0
// The seam between the coordinator and what runs its workers: this machine (local.h), Slurm,
// Kubernetes. A launcher starts one worker for each node of an attempt, watches them, ends them,
// and finds them again after a restart of the coordinator. What happens it tells by events of the
// core; it decides nothing.
#pragma once

#include <poll.h>

#include <string>
#include <vector>

#include "services/core/event.h"

namespace anamnesis::launch {

// The workers of one attempt. Node n runs the ranks from n x ranks_per_node on.
struct LaunchRequest {
  core::JobId job{};
  int64_t epoch = 0;
  std::string token;           // secret of these workers
  std::string worker_address;  // of the worker plane: unix:PATH or HOST:PORT
  int64_t ranks = 1;
  int64_t nodes = 1;
  int64_t ranks_per_node = 1;
  int64_t threads_per_rank = 1;
  std::string display_name, project;
  std::vector<std::vector<int>> rank_cpus = {};  // by rank; empty: not pinned
};

// An attempt that may still run, as it was recorded.
struct Known {
  core::JobId job{};
  int64_t epoch = 0;
  core::WorkerProcess worker;  // empty where the launch was not recorded
};

// All functions are called on the coordinator's loop thread and do not block: a launcher whose
// engine takes its time has a thread of its own.
class Launcher {
 public:
  virtual ~Launcher() = default;

  // "local", "slurm", "kubernetes".
  virtual std::string name() const = 0;
  // Answered through Observe: core::Launched or core::LaunchFailed.
  virtual void Launch(const LaunchRequest& request) = 0;
  // What happened since the last call: Launched, LaunchFailed, EngineWaits, EngineSeen, WorkerGone.
  // WorkerGone comes once for each attempt that was launched or known, when nothing of it runs any
  // more.
  virtual std::vector<core::Event> Observe() = 0;
  // Readable when Observe has something to tell.
  virtual void AddDescriptors(std::vector<pollfd>* fds) const = 0;
  // Asks the job's workers to save and end, or ends them. False when it knows of none.
  virtual bool Stop(core::JobId job, bool at_once) = 0;
  virtual void StopAll() = 0;
  // Called once, before anything else: takes up what still runs, tells what is gone, and ends what
  // runs in this coordinator's name without being known.
  virtual void Reconcile(const std::vector<Known>& known) = 0;
  // The worker that leads has come, with the right token, and was not recorded.
  virtual void Meet(core::JobId /*job*/, int64_t /*epoch*/, const core::WorkerProcess& /*worker*/) {
  }
  // True while something runs.
  virtual bool busy() const = 0;
  // The output of the job's leading worker.
  virtual std::string LogPath(core::JobId job) const = 0;
};

}  // namespace anamnesis::launch
