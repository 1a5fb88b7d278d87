// SPDX-License-Identifier: Apache-2.0
// The launcher of a Slurm cluster: a batch job for each attempt, with one worker on each of its
// nodes; watched by one squeue for all jobs at each interval, and none while there is no job. Its
// own thread runs Slurm's programs. docs/slurm.md says what becomes of a job when Slurm ends it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <variant>
#include <vector>

#include "services/launch/launcher.h"
#include "services/launch/outbox.h"
#include "services/launch/slurm_calls.h"
#include "services/launch/slurm_rule.h"

namespace anamnesis::launch {

class SlurmLauncher final : public Launcher {
 public:
  // `site.identity` is not looked at: it is kept in the data directory, and made at the first
  // start. kNotFound: Slurm's programs are not on this machine.
  static StatusOr<std::unique_ptr<SlurmLauncher>> Create(SlurmOptions options, SlurmSite site);
  // Slurm's jobs go on.
  ~SlurmLauncher() override;

  std::string name() const override { return "slurm"; }
  void Launch(const LaunchRequest& request) override;
  void Reconcile(const std::vector<Known>& known) override;
  bool Stop(core::JobId job, bool at_once) override;
  void StopAll() override;
  std::vector<core::Event> Observe() override { return outbox_->Take(); }
  void AddDescriptors(std::vector<pollfd>* fds) const override;
  bool busy() const override;
  std::string LogPath(core::JobId job) const override;

 private:
  struct StopOrder {
    core::JobId job{};
    bool at_once = false;
  };
  using Order = std::variant<LaunchRequest, std::vector<Known>, StopOrder>;

  // One attempt. Of the engine's thread alone, as all below that is not marked.
  struct Tracked {
    int64_t epoch = 0;
    int64_t id = 0;  // Slurm's; 0: to be found by its tag
    SlurmHistory history = {};
    bool waits = true;  // as far as we know it has no nodes yet
    std::string waits_for = {};
    absl::Duration told = {};  // monotonic: when we last said that it waits
    int64_t missed = 0;        // looks at which Slurm did not know it
    // What it is to be told, until Slurm has taken it.
    bool ask = false, end = false;
  };

  SlurmLauncher(SlurmOptions options, SlurmSite site, std::unique_ptr<Outbox> outbox,
                SlurmCalls calls, FileDescriptor bell, FileDescriptor cancel);
  void Give(Order order);
  void Run();
  void Carry(const LaunchRequest& request);
  void Carry(const std::vector<Known>& known);
  void Carry(const StopOrder& order);
  StatusOr<SlurmBatch> WriteFiles(const LaunchRequest& request, std::string* script) const;
  void Look();
  void CannotLook(const Status& status);
  void Answers();
  void Submitted(core::JobId job, const Tracked& tracked);
  void Resolve(const std::vector<SlurmJob>& jobs);
  void EndOrphans(const std::vector<SlurmJob>& jobs);
  void Miss(const std::vector<core::JobId>& missing);
  // True when the attempt is over.
  bool Judge(core::JobId job, Tracked* tracked, const SlurmMeaning& meaning);
  void TellWaits(core::JobId job, Tracked* tracked, const std::string& why);
  void TellStops();
  void Refuse(const LaunchRequest& request, core::Reason reason, const std::string& message);
  void Forget(core::JobId job);  // and its files; the loop hears of it afterwards

  const SlurmOptions options_;
  const SlurmSite site_;
  const std::unique_ptr<Outbox> outbox_;
  const SlurmCalls calls_;
  const FileDescriptor bell_, cancel_;  // eventfds
  std::atomic<bool> ending_ = false;

  mutable std::mutex mutex_;
  std::vector<Order> orders_;    // guarded by mutex_
  std::set<core::JobId> known_;  // guarded by mutex_: launched, or taken up, and not gone

  std::map<core::JobId, Tracked> tracked_;
  bool reconciled_ = false;
  bool look_for_orphans_ = true;
  bool reachable_ = true;
  absl::Duration hold_ = absl::ZeroDuration();  // how long nothing is launched after a refusal
  absl::Duration held_until_ = absl::ZeroDuration();  // monotonic
  std::thread thread_;
};

}  // namespace anamnesis::launch
