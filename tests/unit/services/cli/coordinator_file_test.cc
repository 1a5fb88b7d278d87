// SPDX-License-Identifier: Apache-2.0
#include "services/cli/coordinator_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/temporary_folder.h"

namespace anamnesis::cli {
namespace {

using ::testing::HasSubstr;

TEST(FindCoordinator, WantsTheSameProcess) {
  const TemporaryFolder folder;
  const auto write = [&](pid_t pid, int64_t ticks) {
    folder.Write("coordinator.json", Cat(R"({"pid":)", pid, R"(,"start_ticks":)", ticks,
                                         R"(,"address":"unix:/s","version":"0.1"})"));
  };
  EXPECT_EQ(FindCoordinator(folder.path()).status().code(), absl::StatusCode::kNotFound);
  const int64_t ticks = IdentityOf(::getpid())->start_ticks;
  write(::getpid(), ticks);
  ASSERT_TRUE(FindCoordinator(folder.path()).ok());
  EXPECT_EQ(FindCoordinator(folder.path())->address, "unix:/s");
  write(::getpid(), ticks + 1);
  const Status gone = FindCoordinator(folder.path()).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(gone), HasSubstr("no coordinator runs here"));
  write(-1, ticks);
  EXPECT_EQ(FindCoordinator(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace anamnesis::cli
