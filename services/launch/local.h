// SPDX-License-Identifier: Apache-2.0
// The launcher of this machine: one anamnesis-worker for each attempt, in a session of its own, so
// that it outlives the coordinator and its terminal; watched by pidfd. After a restart of the
// coordinator the workers that still run are adopted. Loop thread only.
#pragma once

#include <poll.h>

#include <map>
#include <string>
#include <vector>

#include "common/process/identity.h"
#include "services/core/job.h"

namespace anamnesis::launch {

struct LocalOptions {
  std::string worker_program;
  std::string data_directory;
  std::string worker_address;  // of the worker plane, as the worker is told it
};

class LocalLauncher {
 public:
  explicit LocalLauncher(LocalOptions options) : options_(std::move(options)) {}

  // Starts a worker. Its output is appended to LogPath. kInvalidArgument, kResourceExhausted as the
  // system says.
  StatusOr<core::WorkerProcess> Launch(core::JobId job, int64_t epoch, const std::string& token);
  // Watches a worker of an earlier life of the coordinator. kNotFound: it is gone.
  Status Adopt(core::JobId job, const core::WorkerProcess& worker);
  // SIGTERM, or SIGKILL to the worker's process group. False when it is not watched.
  bool Kill(core::JobId job, bool at_once);
  void KillAll();

  void AddDescriptors(std::vector<pollfd>* fds) const;
  // Jobs whose worker has ended since the last call.
  std::vector<core::JobId> TakeGone();
  bool empty() const { return workers_.empty(); }
  bool Watches(core::JobId job) const { return workers_.contains(job); }

  std::string LogPath(core::JobId job) const;

 private:
  const LocalOptions options_;
  std::map<core::JobId, WatchedProcess> workers_;
};

}  // namespace anamnesis::launch
