// SPDX-License-Identifier: Apache-2.0
#include "common/process/identity.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
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

}  // namespace
}  // namespace anamnesis
