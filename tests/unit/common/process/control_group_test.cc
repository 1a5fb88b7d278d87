// SPDX-License-Identifier: Apache-2.0
#include "common/process/control_group.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "common/process/spawn.h"

namespace anamnesis {
namespace {

// A process that asks for more than its group may have, once it is told to begin.
TEST(ControlGroups, TheKernelKeepsTheLimit) {
  const auto groups = ControlGroups::Open();
  if (!groups.ok()) GTEST_SKIP() << "no control group can be made here";
  const std::string name = Cat("anamnesis-test-", ::getpid());
  ASSERT_TRUE((*groups)->Limit(name, int64_t{64} << 20).ok());
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto child =
      ChildProcess::Spawn({.argv = {"/bin/sh", "-c",
                                    Cat("read word <&", ends[0],
                                        "; exec head -c 300000000 /dev/zero | tail -c 300000000 "
                                        "> /dev/null")},
                           .environment = {"PATH=/usr/bin:/bin"},
                           .inherited_fd = ends[0]});
  ASSERT_TRUE(child.ok()) << child.status();
  const Status entered = (*groups)->Enter(name, child->pid());
  EXPECT_TRUE(entered.ok()) << entered;
  ASSERT_EQ(::write(ends[1], "\n", 1), 1);
  const ExitState end = child->Wait();
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_TRUE(end.signal == SIGKILL || end.exit_code == 128 + SIGKILL) << end.exit_code;
  (*groups)->Remove(name);
  EXPECT_EQ(OomKills(), OomKills());
}

}  // namespace
}  // namespace anamnesis
