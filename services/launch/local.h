// SPDX-License-Identifier: Apache-2.0
// The launcher of this machine: the workers of an attempt, in a session and a process group of
// their own, so that they outlive the coordinator and its terminal. The one that leads is watched
// by pidfd; when it ends, those of further nodes (--ranks-per-node) are ended with it. After a
// restart of the coordinator the workers that still run are adopted. Loop thread only.
#pragma once

#include <map>
#include <memory>

#include "common/process/control_group.h"
#include "common/process/identity.h"
#include "services/launch/launcher.h"
#include "services/launch/outbox.h"

namespace anamnesis::launch {

struct LocalOptions {
  std::string worker_program;
  std::string data_directory;
  int64_t memory_per_rank = 0;                       // bytes; 0: no limit
  std::shared_ptr<const ControlGroups> groups = {};  // with memory_per_rank
};

class LocalLauncher final : public Launcher {
 public:
  static StatusOr<std::unique_ptr<LocalLauncher>> Create(LocalOptions options);

  std::string name() const override { return "local"; }
  // The workers' output is appended to LogPath.
  void Launch(const LaunchRequest& request) override;
  std::vector<core::Event> Observe() override;
  void AddDescriptors(std::vector<pollfd>* fds) const override;
  // SIGTERM to the worker that leads, or SIGKILL to all.
  bool Stop(core::JobId job, bool at_once) override;
  void StopAll() override;
  void Reconcile(const std::vector<Known>& known) override;
  void Meet(core::JobId job, int64_t epoch, const core::WorkerProcess& worker) override;
  bool busy() const override { return !gangs_.empty(); }
  std::string LogPath(core::JobId job) const override;

  bool Watches(core::JobId job) const { return gangs_.contains(job); }

 private:
  struct Gang {
    int64_t epoch = 0;
    WatchedProcess lead;
    std::vector<WatchedProcess> others = {};  // of node 1, 2, …
  };

  LocalLauncher(LocalOptions options, std::unique_ptr<Outbox> outbox)
      : options_(std::move(options)), outbox_(std::move(outbox)) {}
  StatusOr<core::WorkerProcess> Start(const LaunchRequest& request);
  StatusOr<WatchedProcess> Spawn(const LaunchRequest& request, int64_t node) const;
  std::string GroupOf(core::JobId job) const;

  const LocalOptions options_;
  const std::unique_ptr<Outbox> outbox_;
  std::map<core::JobId, Gang> gangs_;
};

}  // namespace anamnesis::launch
