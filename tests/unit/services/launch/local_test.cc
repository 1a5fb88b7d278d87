// SPDX-License-Identifier: Apache-2.0
#include "services/launch/local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temporary_folder.h"

namespace anamnesis::launch {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr core::JobId kJob{4};

class LocalLauncherTest : public ::testing::Test {
 protected:
  ~LocalLauncherTest() override {
    launcher_->StopAll();
    while (launcher_->busy()) Wait(*launcher_);
  }

  std::unique_ptr<LocalLauncher> Make(const std::string& script) {
    // A file of its own: a shell may be about to read the one before.
    const std::string program =
        folder_.Write(Cat("worker-", ++num_scripts_), "#!/bin/sh\n" + script);
    ::chmod(program.c_str(), 0700);
    return *LocalLauncher::Create({.worker_program = program, .data_directory = folder_.path()});
  }

  static LaunchRequest Request(int64_t nodes = 1) {
    return {.job = kJob,
            .epoch = 3,
            .token = "secret",
            .worker_address = "unix:/w",
            .ranks = nodes,
            .nodes = nodes,
            .display_name = "",
            .project = ""};
  }

  // What it has to tell, once there is something.
  static std::vector<core::Event> Wait(LocalLauncher& launcher) {
    for (;;) {
      std::vector<pollfd> fds;
      launcher.AddDescriptors(&fds);
      ::poll(fds.data(), fds.size(), -1);
      std::vector<core::Event> events = launcher.Observe();
      if (!events.empty()) return events;
    }
  }

  template <typename Event>
  static Event WaitFor(LocalLauncher& launcher) {
    const std::vector<core::Event> events = Wait(launcher);
    EXPECT_THAT(events, SizeIs(1));
    return std::get<Event>(events.at(0));
  }

  core::WorkerProcess Start(int64_t nodes = 1) {
    launcher_->Launch(Request(nodes));
    return WaitFor<core::Launched>(*launcher_).worker;
  }

  TemporaryFolder folder_;
  int num_scripts_ = 0;
  // Stays until it is ended.
  std::unique_ptr<LocalLauncher> launcher_ = Make("echo \"$@\"\nexec sleep 1000\n");
};

TEST_F(LocalLauncherTest, AWorkerIsToldItsJobEpochAndToken) {
  const auto launcher = Make("echo \"$@\" $ANAMNESIS_WORKER_TOKEN\n");
  launcher->Launch(Request());
  EXPECT_EQ(launcher->LogPath(kJob), folder_.File("jobs/4/worker.log"));
  const std::vector<core::Event> events = Wait(*launcher);
  if (std::get_if<core::Launched>(&events[0]) != nullptr) {  // else it ended too quickly
    while (launcher->busy()) Wait(*launcher);
    EXPECT_EQ(*ReadFile(launcher->LogPath(kJob)),
              "attempt --coordinator unix:/w --job 4 --epoch 3 secret\n");
  }
}

TEST_F(LocalLauncherTest, AWorkerIsASessionOfItsOwnAndIsWatched) {
  const core::WorkerProcess worker = Start();
  EXPECT_EQ(::getsid(static_cast<pid_t>(worker.pid)), worker.pid);
  EXPECT_EQ(worker.boot_id, *BootId());
  EXPECT_TRUE(launcher_->Watches(kJob));
  EXPECT_THAT(launcher_->Observe(), IsEmpty());
  EXPECT_FALSE(launcher_->Stop(core::JobId{5}, true));
  EXPECT_TRUE(launcher_->Stop(kJob, /*at_once=*/false));
  const auto gone = WaitFor<core::WorkerGone>(*launcher_);
  EXPECT_EQ(gone.job, kJob);
  EXPECT_EQ(gone.epoch, 3);
  EXPECT_EQ(gone.reason, core::Reason::kWorkerLost);
  EXPECT_FALSE(launcher_->busy());
  EXPECT_FALSE(launcher_->Stop(kJob, true));
}

TEST_F(LocalLauncherTest, EveryNodeHasAWorkerAndTheyEndWithTheOneThatLeads) {
  const core::WorkerProcess worker = Start(3);
  const auto second = std::stoll(worker.handle);  // "PID.TICKS,PID.TICKS"
  EXPECT_TRUE(IdentityOf(second).ok());
  EXPECT_TRUE(launcher_->Stop(kJob, /*at_once=*/false));
  WaitFor<core::WorkerGone>(*launcher_);
  while (IdentityOf(second).ok()) {  // killed with it; gone as soon as the system says
  }
  EXPECT_EQ(IdentityOf(second).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LocalLauncherTest, AnotherLifeOfTheCoordinatorAdoptsItsWorkers) {
  const core::WorkerProcess worker = Start(2);
  const auto second = Make("");
  core::WorkerProcess other = worker;
  ++other.start_ticks;  // the pid is the same, the process is not
  other.handle.clear();
  second->Reconcile({{kJob, 3, other}});
  EXPECT_EQ(WaitFor<core::WorkerGone>(*second).reason, core::Reason::kWorkerLost);
  EXPECT_FALSE(second->busy());
  second->Reconcile({{kJob, 3, worker}});
  ASSERT_TRUE(second->busy());
  EXPECT_TRUE(second->Stop(kJob, /*at_once=*/true));
  EXPECT_EQ(WaitFor<core::WorkerGone>(*second).job, kJob);
  EXPECT_EQ(WaitFor<core::WorkerGone>(*launcher_).job, kJob);
}

TEST_F(LocalLauncherTest, AfterAStartOfTheMachineNothingRuns) {
  core::WorkerProcess worker = Start();
  worker.boot_id = "another";
  const auto second = Make("");
  second->Reconcile({{kJob, 3, worker}});
  EXPECT_EQ(WaitFor<core::WorkerGone>(*second).reason, core::Reason::kReboot);
}

TEST_F(LocalLauncherTest, AWorkerWhoseLaunchWasNotRecordedIsWatchedOnceItComes) {
  const core::WorkerProcess worker = Start();
  const auto second = Make("");
  second->Reconcile({{kJob, 3, {}}});
  EXPECT_FALSE(second->busy());
  second->Meet(kJob, 3, {.host = "here", .boot_id = "", .pid = worker.pid});
  EXPECT_EQ(WaitFor<core::Launched>(*second).worker.start_ticks, worker.start_ticks);
  EXPECT_TRUE(second->Watches(kJob));
}

TEST_F(LocalLauncherTest, WhatCannotBeStartedIsNamedAndNotWatched) {
  const auto launcher = *LocalLauncher::Create(
      {.worker_program = folder_.File("absent"), .data_directory = folder_.path()});
  launcher->Launch(Request());
  const auto failed = WaitFor<core::LaunchFailed>(*launcher);
  EXPECT_EQ(failed.reason, core::Reason::kLaunchFailed);
  EXPECT_THAT(failed.message, HasSubstr(folder_.File("absent")));
  EXPECT_FALSE(launcher->busy());
}

}  // namespace
}  // namespace anamnesis::launch
