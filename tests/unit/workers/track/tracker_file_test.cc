// SPDX-License-Identifier: Apache-2.0
#include "workers/track/tracker_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::track {
namespace {

using testing::HasSubstr;

TEST(TrackerFile, WritesWhatItWasGiven) {
  const TemporaryFolder folder;
  TrackerFile file = TrackerFile::Create(folder.File("f")).value();
  ASSERT_TRUE(file.Append("one").ok());
  ASSERT_TRUE(file.Append("two").ok());
  EXPECT_EQ(ReadFile(folder.File("f")).value(), "onetwo");
  EXPECT_EQ(file.end_bytes(), 6u);
}

TEST(TrackerFile, RefusesToMakeOneThatIsThere) {
  const TemporaryFolder folder;
  folder.Write("f", "x");
  EXPECT_EQ(TrackerFile::Create(folder.File("f")).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(TrackerFile, WritesOverATornEnd) {
  const TemporaryFolder folder;
  folder.Write("f", "whole+to");
  TrackerFile file = TrackerFile::Continue(folder.File("f"), 6).value();
  ASSERT_TRUE(file.Append("next").ok());
  EXPECT_EQ(ReadFile(folder.File("f")).value(), "whole+next");
}

TEST(TrackerFile, KeepsWhatAFullDiskRefusesAndWritesItWhenThereIsRoom) {
  const TemporaryFolder folder;
  TrackerFile file = TrackerFile::Create(folder.File("f")).value();
  {
    const FileSizeLimit limit(10);
    ASSERT_TRUE(file.Append("12345").ok());
    const Status status = file.Append("abcdefgh");  // five bytes of it fit
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(MessageOf(status), HasSubstr("the disk is full"));
    EXPECT_FALSE(file.Append("XY").ok());
    EXPECT_EQ(file.end_bytes(), 15u);
  }
  ASSERT_TRUE(file.Append("!").ok());
  EXPECT_EQ(ReadFile(folder.File("f")).value(), "12345abcdefghXY!");
}

TEST(TrackerFile, DropsWhatNoLongerFitsIntoMemoryAndSaysSo) {
  const TemporaryFolder folder;
  TrackerFile file = TrackerFile::Create(folder.File("f")).value();
  const std::string much(TrackerFile::kMaxWaitingBytes, 'm');
  {
    const FileSizeLimit limit(0);
    EXPECT_FALSE(file.Append(much).ok());
    EXPECT_THAT(MessageOf(file.Append("lost")), HasSubstr("a record is dropped"));
  }
  ASSERT_TRUE(file.Append("next").ok());
  EXPECT_EQ(ReadFile(folder.File("f")).value(), much + "next");
}

TEST(TrackerFile, SaysThatItsFileIsGone) {
  const TemporaryFolder folder;
  TrackerFile file = TrackerFile::Create(folder.File("f")).value();
  std::filesystem::remove(folder.File("f"));
  EXPECT_EQ(file.Append("x").code(), absl::StatusCode::kNotFound);
}

TEST(TrackerFile, NamesAFolderThatCannotBeWritten) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.File("locked"));
  std::filesystem::permissions(folder.File("locked"), std::filesystem::perms::owner_read);
  const NotRoot not_root;
  const Status status = TrackerFile::Create(folder.File("locked/f")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("locked/f"));
}

}  // namespace
}  // namespace anamnesis::track
