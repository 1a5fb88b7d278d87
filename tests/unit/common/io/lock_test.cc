// SPDX-License-Identifier: Apache-2.0
#include "common/io/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace anamnesis {
namespace {

TEST(LockPath, ASecondHolderIsRefusedAsConflict) {
  const TemporaryFolder folder;
  const auto first = LockPath(folder.File("lock"), absl::ZeroDuration());
  ASSERT_TRUE(first.ok());
  const Status second = LockPath(folder.File("lock"), absl::ZeroDuration()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ExitCodeOf(second), 5);
}

TEST(LockPath, IsFreeOnceTheHolderIsGone) {
  const TemporaryFolder folder;
  { ASSERT_TRUE(LockPath(folder.File("lock"), absl::ZeroDuration()).ok()); }
  EXPECT_TRUE(LockPath(folder.File("lock"), absl::ZeroDuration()).ok());
}

TEST(LockPath, NamesAPathThatCannotBeOpened) {
  const TemporaryFolder folder;
  const Status status = LockPath(folder.File("none/lock"), absl::ZeroDuration()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), ::testing::HasSubstr("none/lock"));
}

}  // namespace
}  // namespace anamnesis
