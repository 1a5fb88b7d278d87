// SPDX-License-Identifier: Apache-2.0
#include "common/process/identity.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process/spawn.h"

namespace anamnesis {
namespace {

ChildProcess StartSleeper() {
  return ChildProcess::Spawn({.argv = {"/bin/sleep", "1000"}}).value();
}

TEST(IdentityOf, NamesALivingProcess) {
  const StatusOr<ProcessIdentity> self = IdentityOf(::getpid());
  ASSERT_TRUE(self.ok());
  EXPECT_GT(self->start_ticks, 0);
  EXPECT_EQ(*IdentityOf(::getpid()), *self);
  EXPECT_EQ(IdentityOf(0).status().code(), absl::StatusCode::kNotFound);
}

TEST(WatchedProcess, SeesTheEndOfAChildThatWasGivenUp) {
  ChildProcess child = StartSleeper();
  const ProcessIdentity identity = IdentityOf(child.pid()).value();
  child.Release();
  WatchedProcess watched = WatchedProcess::Open(identity).value();
  EXPECT_FALSE(watched.IsGone());
  watched.Signal(SIGKILL);
  pollfd fd{watched.pidfd(), POLLIN, 0};
  ASSERT_EQ(::poll(&fd, 1, 10'000), 1);
  EXPECT_TRUE(watched.IsGone());
  EXPECT_EQ(WatchedProcess::Open(identity).status().code(), absl::StatusCode::kNotFound);
}

TEST(WatchedProcess, RefusesAPidThatWasUsedAgain) {
  ProcessIdentity identity = IdentityOf(::getpid()).value();
  --identity.start_ticks;
  EXPECT_EQ(WatchedProcess::Open(identity).status().code(), absl::StatusCode::kNotFound);
}

TEST(BootId, IsTheSameWithinOneBoot) { EXPECT_EQ(*BootId(), *BootId()); }

// In a child with a group of its own: the test's own group is left alone.
TEST(KillRestOfGroupTest, LeavesThisProcessAlone) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    const pid_t member = ::fork();
    if (member == 0) {
      for (;;) ::pause();
    }
    const pid_t other = ::fork();
    if (other == 0) {
      ::setpgid(0, 0);
      for (;;) ::pause();
    }
    while (::getpgid(other) != other) {
    }
    KillRestOfGroup();
    int status = 0;
    const bool killed = ::waitpid(member, &status, 0) == member && WIFSIGNALED(status);
    const bool lives = ::waitpid(other, &status, WNOHANG) == 0;
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
    ::_exit(killed && lives ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace anamnesis
