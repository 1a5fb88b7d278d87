// SPDX-License-Identifier: Apache-2.0
#include "common/io/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/sha256.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/common/repository_files.h"

namespace anamnesis {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Slurp;

TEST(ReadFile, GivesTheWholeContent) {
  const TemporaryFolder folder;
  const std::string content(200'000, 'x');
  EXPECT_EQ(*ReadFile(folder.Write("a", content)), content);
}

TEST(ReadFile, NamesAMissingFileAndTheReason) {
  const TemporaryFolder folder;
  const Status status = ReadFile(folder.File("none")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("none: cannot open: No such file"));
}

TEST(ReadFile, RefusesAFolder) {
  const TemporaryFolder folder;
  EXPECT_EQ(ReadFile(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ReadAt, ReadsFromTheMiddle) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("a", "0123456789");
  const auto file = OpenForRead(path);
  char out[3] = {};
  ASSERT_TRUE(ReadAt(*file, path, 4, out, 3).ok());
  EXPECT_EQ(std::string(out, 3), "456");
}

TEST(ReadAt, ATruncatedFileIsDataLossWithTheOffset) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("a", "0123456789");
  const auto file = OpenForRead(path);
  char out[8] = {};
  const Status status = ReadAt(*file, path, 6, out, 8);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("ends at byte 10, expected 4 more bytes"));
}

TEST(WriteFileDurably, ReplacesTheFileAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("a", "old");
  ASSERT_TRUE(WriteFileDurably(path, "new").ok());
  EXPECT_EQ(Slurp(path), "new");
  EXPECT_THAT(*ListDirectory(folder.path()), ElementsAre("a"));
}

TEST(WriteFileDurably, NamesAMissingFolder) {
  const TemporaryFolder folder;
  const Status status = WriteFileDurably(folder.File("none/a"), "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("none/a: cannot create"));
}

TEST(StagedFile, DroppedUncommittedLeavesTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("a", "old");
  {
    auto staged = StagedFile::Create(path);
    ASSERT_TRUE(staged->Append("half").ok());
    EXPECT_EQ(staged->size_bytes(), 4U);
  }
  EXPECT_EQ(Slurp(path), "old");
  EXPECT_THAT(*ListDirectory(folder.path()), ElementsAre("a"));
}

TEST(StagedFile, ManyPiecesBecomeOneFile) {
  const TemporaryFolder folder;
  auto staged = StagedFile::Create(folder.File("a"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(staged->Append("xy").ok());
  ASSERT_TRUE(staged->Commit().ok());
  EXPECT_EQ(Slurp(folder.File("a")), "xyxyxy");
}

TEST(FileSha256, IsTheDigestOfTheContent) {
  const TemporaryFolder folder;
  const std::string content(3 << 20, 'z');
  EXPECT_EQ(*FileSha256(folder.Write("a", content)), Sha256Hex(content));
  EXPECT_EQ(*FileSize(folder.File("a")), content.size());
}

TEST(ListDirectory, SortsByBytes) {
  const TemporaryFolder folder;
  for (const char* name : {"b", "B", "a10", "a9"}) folder.Write(name, "");
  EXPECT_THAT(*ListDirectory(folder.path()), ElementsAre("B", "a10", "a9", "b"));
  EXPECT_FALSE(ListDirectory(folder.File("none")).ok());
}

TEST(MakeDirectories, MakesAllParentsAndMayBeRepeated) {
  const TemporaryFolder folder;
  ASSERT_TRUE(MakeDirectories(folder.File("a/b/c")).ok());
  ASSERT_TRUE(MakeDirectories(folder.File("a/b/c")).ok());
  EXPECT_TRUE(IsDirectory(folder.File("a/b/c")));
  EXPECT_FALSE(PathExists(folder.File("a/d")));
}

TEST(MakeDirectories, AFileInTheWayIsAnError) {
  const TemporaryFolder folder;
  folder.Write("a", "");
  EXPECT_FALSE(MakeDirectories(folder.File("a/b")).ok());
}

TEST(FileDescriptor, MovesItsFile) {
  const TemporaryFolder folder;
  auto file = OpenForRead(folder.Write("a", "x"));
  FileDescriptor moved = std::move(*file);
  EXPECT_TRUE(moved.valid());
  EXPECT_FALSE(file->valid());
  moved.Reset();
  EXPECT_FALSE(moved.valid());
}

}  // namespace
}  // namespace anamnesis
