// SPDX-License-Identifier: Apache-2.0
#include "common/process/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace anamnesis {
namespace {

using ::testing::Contains;
using ::testing::Not;
using ::testing::StartsWith;

SpawnOptions MakeShell(const std::string& script) {
  return {.argv = {"/bin/sh", "-c", script}, .environment = {"PATH=/usr/bin:/bin"}};
}

TEST(ChildProcess, TellsExitCodeAndSignalApart) {
  StatusOr<ChildProcess> exits = ChildProcess::Spawn(MakeShell("exit 3"));
  ASSERT_TRUE(exits.ok());
  const ExitState exited = exits->Wait();
  EXPECT_EQ(exited.exit_code, 3);
  EXPECT_EQ(exited.signal, 0);
  StatusOr<ChildProcess> dies = ChildProcess::Spawn(MakeShell("kill -9 $$"));
  ASSERT_TRUE(dies.ok());
  EXPECT_EQ(dies->Wait().signal, SIGKILL);
}

TEST(ChildProcess, StaysOnItsCpus) {
  cpu_set_t ours;
  ASSERT_EQ(::sched_getaffinity(0, sizeof ours, &ours), 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &ours)) last = cpu;
  }
  const std::string wanted =
      Cat("grep -q '^Cpus_allowed_list:[[:space:]]*", last, "$' /proc/self/status");
  auto child = ChildProcess::Spawn({.argv = {"/bin/sh", "-c", wanted}, .cpus = {last}});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait().exit_code, 0);
  cpu_set_t now;
  ::sched_getaffinity(0, sizeof now, &now);
  EXPECT_TRUE(CPU_EQUAL(&ours, &now)) << "its parent stays where it was";
  EXPECT_EQ(ChildProcess::Spawn({.argv = {"/bin/true"}, .cpus = {CPU_SETSIZE - 1}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ChildProcess, MakesItsPidfdReadableAtTheEnd) {
  StatusOr<ChildProcess> child = ChildProcess::Spawn(MakeShell("exit 0"));
  ASSERT_TRUE(child.ok());
  pollfd fd{child->pidfd(), POLLIN, 0};
  EXPECT_EQ(::poll(&fd, 1, 10'000), 1);
  EXPECT_TRUE(child->Poll().has_value());
}

TEST(ChildProcess, RunsInItsOwnGroupWithoutOurBlockedSignals) {
  sigset_t interrupt;
  sigset_t before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  ::sigprocmask(SIG_BLOCK, &interrupt, &before);
  StatusOr<ChildProcess> child = ChildProcess::Spawn(MakeShell("kill -2 $$; exit 0"));
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(child.ok());
  EXPECT_NE(::getpgid(child->pid()), ::getpgrp());
  EXPECT_EQ(child->Wait().signal, SIGINT);
}

TEST(ChildProcess, WritesItsOutputToTheLog) {
  char path[] = "/tmp/anam-spawn-log-XXXXXX";
  const FileDescriptor created(::mkstemp(path));
  SpawnOptions options = MakeShell("echo out; echo err >&2; cat");
  options.log_path = path;
  StatusOr<ChildProcess> child = ChildProcess::Spawn(options);
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->Wait().exit_code, 0);  // cat ended: standard input is empty
  EXPECT_EQ(*ReadFile(path), "out\nerr\n");
  ::unlink(path);
}

TEST(ChildProcess, IsKilledWithItsOwner) {
  int pid = 0;
  {
    StatusOr<ChildProcess> child = ChildProcess::Spawn(MakeShell("exec sleep 1000"));
    ASSERT_TRUE(child.ok());
    pid = child->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace anamnesis
