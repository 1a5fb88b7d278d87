// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/reader.h"

#include <algorithm>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "gmock/gmock.h"
#include "tests/unit/workers/shard/made_set.h"

namespace anamnesis::shard {
namespace {

using ::testing::HasSubstr;

TEST(ShardSet, GivesBackEverySubjectInOrderAndAtRandom) {
  TemporaryFolder directory;
  const std::string path = directory.path() + "/set";
  // 40 subjects of up to 4,000 events span several blocks of 16,384.
  const std::vector<Subject> subjects = MadeSubjects(11, 40, 4'000);
  ASSERT_TRUE(WriteMadeSet(path, subjects).ok());
  const StatusOr<std::unique_ptr<ShardSet>> set = ShardSet::Open(path);
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_EQ((*set)->splits().size(), 1u);
  EXPECT_EQ((*set)->splits()[0].num_subjects, 40u);
  EXPECT_EQ((*set)->phrases().size(), 302u);
  Subject back;
  for (size_t i = 0; i < subjects.size(); ++i) {
    ASSERT_TRUE((*set)->Read("train", i, &back).ok());
    ExpectSame(subjects[i], back);
  }
  PhiloxStream random(5, 5);
  for (int i = 0; i < 100; ++i) {
    const size_t index = random.Below(subjects.size());
    ASSERT_TRUE((*set)->Read("train", index, &back).ok());
    ExpectSame(subjects[index], back);
  }
  EXPECT_TRUE((*set)->Verify({"train"}).ok());
}

TEST(ShardSet, RefusesAnUnknownSplitAndASubjectBeyondTheEnd) {
  TemporaryFolder directory;
  const std::string path = directory.path() + "/set";
  ASSERT_TRUE(WriteMadeSet(path, MadeSubjects(1, 4, 10)).ok());
  const auto set = ShardSet::Open(path);
  ASSERT_TRUE(set.ok());
  Subject subject;
  EXPECT_EQ((*set)->Read("held_out", 0, &subject).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*set)->Read("train", 4, &subject).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*set)->Split("held_out").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ShardSet, OpensWithoutTouchingItsShards) {
  TemporaryFolder directory;
  const std::string path = directory.path() + "/set";
  ASSERT_TRUE(WriteMadeSet(path, MadeSubjects(1, 4, 10)).ok());
  std::filesystem::remove(path + "/train-00001.shard");
  const auto set = ShardSet::Open(path);
  ASSERT_TRUE(set.ok());
  Subject subject;
  EXPECT_TRUE((*set)->Read("train", 0, &subject).ok());
  const Status missing = (*set)->Read("train", 3, &subject);
  EXPECT_EQ(missing.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(missing), HasSubstr("train-00001.shard"));
}

TEST(SetWriter, LeavesNothingWhenDroppedAndRefusesWhatExists) {
  TemporaryFolder directory;
  const std::string path = directory.path() + "/set";
  {
    const auto writer = SetWriter::Create(path, {});
    ASSERT_TRUE(writer.ok());
    const auto shard = (*writer)->NewShard("train", 0);
    ASSERT_TRUE(shard.ok());
    EXPECT_FALSE(PathExists(path));
  }
  EXPECT_TRUE(ListDirectory(directory.path())->empty());
  ASSERT_TRUE(WriteMadeSet(path, {}).ok());
  EXPECT_EQ(SetWriter::Create(path, {}).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(SetWriter, RemovesWhatADeadWriterLeft) {
  TemporaryFolder directory;
  const std::string leftover = directory.path() + "/.set.staging-999999999";
  ASSERT_TRUE(MakeDirectories(leftover).ok());
  ASSERT_TRUE(WriteMadeSet(directory.path() + "/set", {}).ok());
  EXPECT_FALSE(PathExists(leftover));
}

TEST(SubjectHashes, AreSortedKeyedHashesOfDecimalIds) {
  TemporaryFolder directory;
  const std::string path = directory.path() + "/set";
  std::vector<Subject> subjects = MadeSubjects(1, 6, 3);
  ASSERT_TRUE(WriteMadeSet(path, subjects).ok());
  std::vector<uint64_t> expected;
  for (const Subject& subject : subjects) {
    expected.push_back(KeyedHash64("anamnesis-subject-v1", std::to_string(subject.subject_id)));
  }
  std::sort(expected.begin(), expected.end());
  const std::string content = *ReadFile(path + "/train.subject-hashes");
  ASSERT_EQ(content.size(), 48u);
  for (size_t i = 0; i < expected.size(); ++i) {
    uint64_t found = 0;
    for (size_t k = 0; k < 8; ++k)
      found = (found << 8) | static_cast<unsigned char>(content[8 * i + k]);
    EXPECT_EQ(found, expected[i]);
  }
}

}  // namespace
}  // namespace anamnesis::shard
