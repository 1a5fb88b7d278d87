// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/merge_parts.h"

#include "common/io/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/prep/made_cohort.h"

namespace anamnesis::prep {
namespace {

using ::testing::HasSubstr;

std::string AllFilesOf(const std::string& directory) {
  std::string content;
  const std::vector<std::string> names = *ListDirectory(directory);
  for (const std::string& name : names) {
    content += Cat(name, "\n", *ReadFile(Cat(directory, "/", name)), "\n");
  }
  return content;
}

Status PrepareParts(const MadeCohort& cohort, uint64_t parts, const std::string& out = "out") {
  for (uint64_t part = 0; part < parts; ++part) {
    const auto made =
        PreparePart(cohort.Data(), {.out = cohort.Path(out), .part = part, .parts = parts});
    ANAM_RETURN_IF_ERROR(made.status());
  }
  return absl::OkStatus();
}

StatusOr<PrepareSummary> MergeOf(const MadeCohort& cohort, uint64_t parts,
                                 const std::string& out = "out") {
  return MergeParts(cohort.Data(), parts, {.out = cohort.Path(out)});
}

TEST(MergePartsTest, GivesTheBytesOfOneMachine) {
  const MadeCohort cohort;
  for (int file = 2; file < 12; ++file) cohort.Split(Cat("train/", file, ".pkl"), {});
  ASSERT_TRUE(Prepare(cohort.Data(), {.out = cohort.Path("whole")}).ok());
  for (const uint64_t parts : {3, 14}) {  // 14: more than files
    const std::string out = Cat("out", parts);
    ASSERT_TRUE(PrepareParts(cohort, parts, out).ok());
    const auto merged = MergeOf(cohort, parts, out);
    ASSERT_TRUE(merged.ok()) << merged.status();
    EXPECT_EQ(AllFilesOf(cohort.Path(out)), AllFilesOf(cohort.Path("whole"))) << parts;
    EXPECT_FALSE(PathExists(cohort.Path(out + ".parts")));
  }
}

TEST(MergePartsTest, IsDoneOnce) {
  const MadeCohort cohort;
  ASSERT_TRUE(PrepareParts(cohort, 2).ok());
  ASSERT_TRUE(MergeOf(cohort, 2).ok());
  const auto again = MergeOf(cohort, 2);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->already_there);
}

TEST(MergePartsTest, NamesAPartThatIsNotThere) {
  const MadeCohort cohort;
  ASSERT_TRUE(PrepareParts(cohort, 2).ok());
  std::filesystem::remove_all(PartFolder(cohort.Path("out"), 1, 2));
  const auto merged = MergeOf(cohort, 2);
  EXPECT_EQ(merged.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(merged.status()), HasSubstr("--part 1/2"));
  EXPECT_FALSE(PathExists(cohort.Path("out")));
}

TEST(MergePartsTest, RefusesPartsOfOtherTablesOrData) {
  const MadeCohort cohort;
  ASSERT_TRUE(PrepareParts(cohort, 2).ok());
  WriteText(cohort.Path("medical_lookup.csv"), "code,term\nC10,Another\n");
  ASSERT_TRUE(PreparePart(cohort.Data(), {.out = cohort.Path("out"), .part = 1, .parts = 2}).ok());
  const auto other_tables = MergeOf(cohort, 2);
  EXPECT_EQ(other_tables.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(other_tables.status()), HasSubstr("other tables"));

  ASSERT_TRUE(PrepareParts(cohort, 2).ok());
  cohort.Split("train/2.pkl", {});
  const auto more_files = MergeOf(cohort, 2);
  EXPECT_EQ(more_files.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(more_files.status()), HasSubstr("train/2.pkl"));
  EXPECT_FALSE(PathExists(cohort.Path("out")));
}

TEST(MergePartsTest, FindsADamagedPart) {
  const MadeCohort cohort;
  ASSERT_TRUE(PrepareParts(cohort, 2).ok());
  const std::string path = PartFolder(cohort.Path("out"), 0, 2) + "/train-00000.shard";
  std::string bytes = *ReadFile(path);
  bytes[bytes.size() / 2] ^= 1;
  WriteText(path, bytes);
  EXPECT_EQ(MergeOf(cohort, 2).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(PathExists(cohort.Path("out")));
}

TEST(MergePartsTest, RefusesASubjectThatTwoPartsHold) {
  const MadeCohort cohort;
  cohort.Split("train/1.pkl", {{1, {1, 2}, {0, 0}}});  // also in train/0.pkl
  ASSERT_TRUE(PrepareParts(cohort, 2).ok());
  const auto merged = MergeOf(cohort, 2);
  EXPECT_EQ(merged.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(merged.status()), HasSubstr("a subject occurs in two parts"));
}

TEST(ParsePartTest, TakesIOfN) {
  uint64_t part = 9, parts = 9;
  ASSERT_TRUE(ParsePart("0/8", &part, &parts).ok());
  EXPECT_EQ(part, 0U);
  EXPECT_EQ(parts, 8U);
  for (const char* text : {"", "/", "1", "8/8", "1/0", "-1/8", "1/8x", "1/ 8",
                           "1/99999999999999999", "99999999999999999999/99999999999999999999"}) {
    EXPECT_EQ(ParsePart(text, &part, &parts).code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace anamnesis::prep
