// SPDX-License-Identifier: Apache-2.0
// The launcher of a Kubernetes cluster: a Driver on a thread of its own. What the coordinator asks
// goes to that thread through a queue, what happens comes back through an Outbox. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/launch/kubernetes/driver.h"
#include "services/launch/kubernetes/options.h"
#include "services/launch/launcher.h"
#include "services/launch/outbox.h"

namespace anamnesis::launch {

class KubernetesLauncher : public Launcher {
 public:
  // Starts its thread, which asks nothing before Reconcile. kResourceExhausted as the system says.
  static StatusOr<std::unique_ptr<KubernetesLauncher>> Create(KubernetesOptions options,
                                                              std::string data_directory,
                                                              const Clock& clock = Clock::System());
  // Ends the thread; what runs in the cluster goes on.
  ~KubernetesLauncher() override;

  std::string name() const override { return "kubernetes"; }
  void Launch(const LaunchRequest& request) override;
  std::vector<core::Event> Observe() override;
  void AddDescriptors(std::vector<pollfd>* fds) const override;
  bool Stop(core::JobId job, bool at_once) override;
  void StopAll() override;
  void Reconcile(const std::vector<Known>& known) override;
  bool busy() const override { return !running_.empty(); }
  std::string LogPath(core::JobId job) const override;

  int64_t num_requests() const { return driver_.num_requests(); }

 private:
  using Command = std::function<void(KubernetesDriver&)>;

  KubernetesLauncher(KubernetesOptions options, std::string data_directory, const Clock& clock,
                     std::unique_ptr<Outbox> outbox);
  void Post(Command command);
  void RunThread();

  const std::string data_directory_;
  const std::unique_ptr<Outbox> outbox_;
  KubernetesDriver driver_;
  std::set<AttemptKey> running_;  // as far as the coordinator was told

  std::mutex mutex_;
  std::vector<Command> commands_;
  bool ending_ = false;
  std::thread thread_;  // after all that it uses
};

}  // namespace anamnesis::launch
