// SPDX-License-Identifier: Apache-2.0
#include "services/launch/local.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temporary_folder.h"

namespace anamnesis::launch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr core::JobId kJob{4};

class LocalLauncherTest : public ::testing::Test {
 protected:
  ~LocalLauncherTest() override {
    launcher_.KillAll();
    while (!launcher_.empty()) WaitForEnd(&launcher_);
  }

  LocalOptions Options(const std::string& script) const {
    const std::string program = folder_.Write("worker", "#!/bin/sh\n" + script);
    ::chmod(program.c_str(), 0700);
    return {
        .worker_program = program, .data_directory = folder_.path(), .worker_address = "unix:/w"};
  }

  // The jobs whose worker has ended, once there is one.
  static std::vector<core::JobId> WaitForEnd(LocalLauncher* launcher) {
    for (;;) {
      std::vector<pollfd> fds;
      launcher->AddDescriptors(&fds);
      if (fds.empty()) return {};
      ::poll(fds.data(), fds.size(), -1);
      std::vector<core::JobId> gone = launcher->TakeGone();
      if (!gone.empty()) return gone;
    }
  }

  TemporaryFolder folder_;
  // Says what it was given, then stays until it is ended.
  LocalLauncher launcher_{Options("echo \"$@\" $ANAMNESIS_WORKER_TOKEN\nexec sleep 1000\n")};
};

TEST_F(LocalLauncherTest, AWorkerIsToldItsJobEpochAndToken) {
  LocalLauncher launcher(Options("echo \"$@\" $ANAMNESIS_WORKER_TOKEN\n"));
  const auto worker = launcher.Launch(kJob, 3, "secret");
  EXPECT_EQ(launcher.LogPath(kJob), folder_.File("jobs/4/worker.log"));
  if (worker.ok()) {  // else it has ended too quickly to be watched
    EXPECT_THAT(WaitForEnd(&launcher), ElementsAre(kJob));
    EXPECT_EQ(*ReadFile(launcher.LogPath(kJob)),
              "attempt --coordinator unix:/w --job 4 --epoch 3 secret\n");
  }
}

TEST_F(LocalLauncherTest, AWorkerIsASessionOfItsOwnAndIsWatched) {
  const auto worker = launcher_.Launch(kJob, 1, "secret");
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(::getsid(static_cast<pid_t>(worker->pid)), worker->pid);
  EXPECT_EQ(worker->boot_id, *BootId());
  EXPECT_TRUE(launcher_.Watches(kJob));
  EXPECT_THAT(launcher_.TakeGone(), IsEmpty());
  EXPECT_FALSE(launcher_.Kill(core::JobId{5}, true));
  EXPECT_TRUE(launcher_.Kill(kJob, /*at_once=*/false));
  EXPECT_THAT(WaitForEnd(&launcher_), ElementsAre(kJob));
  EXPECT_TRUE(launcher_.empty());
  EXPECT_FALSE(launcher_.Kill(kJob, true));
}

TEST_F(LocalLauncherTest, AnotherLifeOfTheCoordinatorAdoptsItsWorkers) {
  const auto worker = launcher_.Launch(kJob, 1, "secret");
  ASSERT_TRUE(worker.ok());
  LocalLauncher second({.worker_program = "", .data_directory = "", .worker_address = ""});
  core::WorkerProcess other = *worker;
  ++other.start_ticks;  // the pid is the same, the process is not
  EXPECT_EQ(second.Adopt(kJob, other).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(second.empty());
  ASSERT_TRUE(second.Adopt(kJob, *worker).ok());
  EXPECT_TRUE(second.Kill(kJob, /*at_once=*/true));
  EXPECT_THAT(WaitForEnd(&second), ElementsAre(kJob));
  EXPECT_THAT(WaitForEnd(&launcher_), ElementsAre(kJob));
  EXPECT_EQ(second.Adopt(kJob, *worker).code(), absl::StatusCode::kNotFound);
}

TEST_F(LocalLauncherTest, WhatCannotBeStartedIsNamedAndNotWatched) {
  LocalLauncher launcher({.worker_program = folder_.File("absent"),
                          .data_directory = folder_.path(),
                          .worker_address = "unix:/w"});
  const Status status = launcher.Launch(kJob, 1, "secret").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr(folder_.File("absent")));
  EXPECT_TRUE(launcher.empty());
}

}  // namespace
}  // namespace anamnesis::launch
