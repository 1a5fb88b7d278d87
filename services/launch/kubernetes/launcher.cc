// SPDX-License-Identifier: Apache-2.0
#include "services/launch/kubernetes/launcher.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace anamnesis::launch {
namespace {

constexpr absl::Duration kLongestTurn = absl::Seconds(5);  // Post wakes it earlier

}  // namespace

StatusOr<std::unique_ptr<KubernetesLauncher>> KubernetesLauncher::Create(KubernetesOptions options,
                                                                         std::string data_directory,
                                                                         const Clock& clock) {
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<Outbox> outbox, Outbox::Create());
  return std::unique_ptr<KubernetesLauncher>(new KubernetesLauncher(
      std::move(options), std::move(data_directory), clock, std::move(outbox)));
}

KubernetesLauncher::KubernetesLauncher(KubernetesOptions options, std::string data_directory,
                                       const Clock& clock, std::unique_ptr<Outbox> outbox)
    : data_directory_(std::move(data_directory)),
      outbox_(std::move(outbox)),
      driver_(std::move(options), clock,
              [this](core::Event event) { outbox_->Put(std::move(event)); }),
      thread_([this] { RunThread(); }) {}

KubernetesLauncher::~KubernetesLauncher() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  driver_.Wake();
  thread_.join();
}

void KubernetesLauncher::RunThread() {
  ::pthread_setname_np(::pthread_self(), "kubernetes");
  for (;;) {
    std::vector<Command> commands;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (ending_) return;
      commands.swap(commands_);
    }
    for (const Command& command : commands) command(driver_);
    driver_.Run(kLongestTurn);
  }
}

void KubernetesLauncher::Post(Command command) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(std::move(command));
  }
  driver_.Wake();
}

void KubernetesLauncher::Launch(const LaunchRequest& request) {
  running_.insert({request.job, request.epoch});
  Post([request](KubernetesDriver& driver) { driver.Launch(request); });
}

void KubernetesLauncher::Reconcile(const std::vector<Known>& known) {
  for (const Known& attempt : known) running_.insert({attempt.job, attempt.epoch});
  Post([known](KubernetesDriver& driver) { driver.Reconcile(known); });
}

bool KubernetesLauncher::Stop(core::JobId job, bool at_once) {
  const bool known = std::any_of(running_.begin(), running_.end(),
                                 [&](const AttemptKey& key) { return key.job == job; });
  if (known) Post([job, at_once](KubernetesDriver& driver) { driver.Stop(job, at_once); });
  return known;
}

void KubernetesLauncher::StopAll() {
  Post([](KubernetesDriver& driver) { driver.StopAll(); });
}

std::vector<core::Event> KubernetesLauncher::Observe() {
  std::vector<core::Event> events = outbox_->Take();
  for (const core::Event& event : events) {
    if (const auto* gone = std::get_if<core::WorkerGone>(&event)) {
      running_.erase({gone->job, gone->epoch});
    } else if (const auto* failed = std::get_if<core::LaunchFailed>(&event)) {
      running_.erase({failed->job, failed->epoch});
    }
  }
  return events;
}

void KubernetesLauncher::AddDescriptors(std::vector<pollfd>* fds) const {
  fds->push_back({outbox_->fd(), POLLIN, 0});
}

std::string KubernetesLauncher::LogPath(core::JobId job) const {
  return Cat(data_directory_, "/jobs/", static_cast<int64_t>(job), "/worker.log");
}

}  // namespace anamnesis::launch
