// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/prepare.h"

#include "common/io/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/prep/made_cohort.h"
#include "workers/prep/identity.h"

namespace anamnesis::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string PrepareError(const MadeCohort& cohort, const config::DataSection& data,
                         absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  const StatusOr<PrepareSummary> summary = Prepare(data, {.out = cohort.Path("out"), .jobs = 2});
  EXPECT_EQ(summary.status().code(), code);
  // Nothing is left, visible or hidden.
  EXPECT_FALSE(PathExists(cohort.Path("out")));
  const std::vector<std::string> names = *ListDirectory(cohort.Path(""));
  for (const std::string& name : names) EXPECT_THAT(name, Not(HasSubstr("staging"))) << name;
  return MessageOf(summary.status());
}

// All files of a set as one text.
std::string ContentOf(const std::string& directory) {
  std::string content;
  const std::vector<std::string> names = *ListDirectory(directory);
  for (const std::string& name : names) {
    content += Cat(name, "\n", *ReadFile(Cat(directory, "/", name)), "\n");
  }
  return content;
}

TEST(Prepare, WritesWhatItRead) {
  const MadeCohort cohort;
  const auto summary = Prepare(cohort.Data(), {.out = cohort.Path("out")});
  ASSERT_TRUE(summary.ok()) << summary.status();
  const auto set = shard::ShardSet::Open(cohort.Path("out"));
  ASSERT_TRUE(set.ok()) << set.status();
  shard::Subject subject;
  ASSERT_TRUE((*set)->Read("train", 1, &subject).ok());
  EXPECT_EQ(subject.subject_id, 2);
  EXPECT_TRUE(subject.is_case);
  EXPECT_EQ(subject.site, "stomach");
  ASSERT_EQ(subject.events.size(), 6u);
  EXPECT_EQ(subject.events[0].time_us, shard::kStatic);
  EXPECT_EQ(subject.events[2].time_us, 1'582'934'399'000'000);
  EXPECT_EQ((*set)->phrases()[subject.events[3].phrase].kind, shard::PhraseKind::kTimeInterval);
  EXPECT_EQ(summary->manifest.splits[0].events, 15u);
  EXPECT_EQ(summary->manifest.splits[0].static_events, 6u);
  EXPECT_EQ(summary->manifest.splits[0].silent_events, 6u);
  EXPECT_EQ(summary->manifest.splits[0].unknown_events, 1u);
  EXPECT_EQ(summary->unknown_kinds, 1u);
}

TEST(Prepare, GivesTheSameBytesForAnyNumberOfJobs) {
  const MadeCohort cohort;
  for (int file = 2; file < 12; ++file) {
    cohort.Split(Cat("train/", file, ".pkl"), {});
  }
  for (const int jobs : {1, 2, 5}) {
    ASSERT_TRUE(Prepare(cohort.Data(), {.out = cohort.Path(Cat("out", jobs)), .jobs = jobs}).ok());
    EXPECT_EQ(ContentOf(cohort.Path(Cat("out", jobs))), ContentOf(cohort.Path("out1")));
  }
}

TEST(Prepare, NeverTouchesASplitThatWasNotAskedFor) {
  const MadeCohort cohort;
  // Reading this "folder" would fail: it is a link that leads to itself.
  std::filesystem::create_symlink("held_out", cohort.Path("held_out"));
  const auto summary =
      Prepare(cohort.Data(), {.out = cohort.Path("out"), .splits = {"train", "tuning"}});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->manifest.splits.size(), 2u);
  EXPECT_TRUE(EnsureShards(cohort.Data(), {"train", "tuning"}, cohort.Path("data"), 1).ok());
}

TEST(Prepare, IsDoneAtOnceWhenTheSameSetIsThere) {
  const MadeCohort cohort;
  ASSERT_TRUE(Prepare(cohort.Data(), {.out = cohort.Path("out")}).ok());
  const auto again = Prepare(cohort.Data(), {.out = cohort.Path("out")});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->already_there);
  config::DataSection other = cohort.Data();
  other.unknown_tokens = "drop";
  EXPECT_EQ(Prepare(other, {.out = cohort.Path("out")}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(Prepare, RefusesASubjectInTwoSplits) {
  const MadeCohort cohort;
  cohort.Split("tuning/0.pkl", {{5, {1}, {0}}, {2, {1}, {0}}});
  EXPECT_THAT(
      PrepareError(cohort, cohort.Data()),
      HasSubstr("1 subject(s) occur twice, also in different splits, expected each in one place: 2 "
                "(train/0.pkl subject 1, tuning/0.pkl subject 1)"));
}

TEST(Prepare, RefusesASubjectInTwoFilesOfASplit) {
  const MadeCohort cohort;
  cohort.Split("train/1.pkl", {{1, {1}, {0}}});
  EXPECT_THAT(PrepareError(cohort, cohort.Data()),
              HasSubstr("1 (train/0.pkl subject 0, train/1.pkl subject 0)"));
}

TEST(Prepare, RefusesASubjectWithoutALabel) {
  const MadeCohort cohort;
  cohort.Split("train/1.pkl", {{3, {1}, {0}}, {77, {1}, {0}}});
  EXPECT_THAT(PrepareError(cohort, cohort.Data()),
              HasSubstr("train/1.pkl: subject 1: has no row in"));
}

TEST(Prepare, RefusesATokenThatTheVocabularyLacks) {
  const MadeCohort cohort;
  cohort.Split("train/1.pkl", {{3, {1, 99}, {0, 0}}});
  EXPECT_THAT(PrepareError(cohort, cohort.Data()),
              HasSubstr("train/1.pkl: subject 0: event 1: token id 99 is not in"));
}

TEST(Prepare, RefusesTimesThatRunBackwards) {
  const MadeCohort cohort;
  cohort.Split("train/1.pkl", {{3, {3, 4, 5, 6}, {-5, 0, 7, 6}}});
  EXPECT_THAT(PrepareError(cohort, cohort.Data()),
              HasSubstr("train/1.pkl: subject 0: event 3: is earlier"));
  cohort.Split("train/1.pkl", {{3, {3, 4, 5, 6}, {-5, 0, 7, 7}}});
  EXPECT_TRUE(Prepare(cohort.Data(), {.out = cohort.Path("out")}).ok());
}

TEST(Prepare, RefusesUnknownTokensUnderThatPolicyOnlyWhereTheyOccur) {
  const MadeCohort cohort;
  config::DataSection data = cohort.Data();
  data.unknown_tokens = "error";
  EXPECT_THAT(PrepareError(cohort, data),
              HasSubstr("train/1.pkl: subject 0: event 1: no rule for token id 8"));
  cohort.Split("train/1.pkl", {{3, {1}, {0}}});
  EXPECT_TRUE(Prepare(data, {.out = cohort.Path("out")}).ok());
}

TEST(Prepare, RefusesWhatIsNotBuiltYetByKeyAndValue) {
  const MadeCohort cohort;
  config::DataSection data = cohort.Data();
  data.profile = "fused";
  EXPECT_THAT(PrepareError(cohort, data, absl::StatusCode::kUnimplemented),
              HasSubstr("data.profile: fused is not built yet"));
  data = cohort.Data();
  data.time_mode = "delta";
  EXPECT_THAT(PrepareError(cohort, data, absl::StatusCode::kUnimplemented),
              HasSubstr("data.time_mode: delta is not built yet"));
}

TEST(Prepare, NamesMissingFilesAndFolders) {
  const MadeCohort cohort;
  config::DataSection data = cohort.Data();
  data.vocab_filepath = cohort.Path("nowhere.csv");
  EXPECT_THAT(PrepareError(cohort, data), HasSubstr("data.vocab_filepath"));
  data = cohort.Data();
  data.data_dir = cohort.Path("nowhere");
  EXPECT_THAT(PrepareError(cohort, data), HasSubstr("has none of the folders"));
  std::filesystem::create_directories(cohort.Path("held_out"));
  EXPECT_THAT(PrepareError(cohort, cohort.Data()), HasSubstr("held_out: has no .pkl file"));
}

TEST(Prepare, SaysHowTheDataFared) {
  const MadeCohort cohort;
  WriteText(cohort.Path("lab_lookup.csv"), "code,term\nXy,a\nxY,b\n");
  const auto summary = Prepare(cohort.Data(), {.out = cohort.Path("out")});
  ASSERT_TRUE(summary.ok()) << summary.status();
  const std::string text = DescribeSummary(*summary);
  EXPECT_THAT(text, HasSubstr("train: 3 subjects (1 cases), 15 events (6 static, 6 without text)"));
  EXPECT_THAT(text, HasSubstr("tokens without a rule: 1 events of 1 kinds"));
  EXPECT_THAT(text, HasSubstr("medical lookup: 2 of 2 events (100.0 %)"));
  EXPECT_THAT(text, HasSubstr("lab lookup: 0 of 2 events (0.0 %)"));
  EXPECT_THAT(text, HasSubstr("lab lookup: 1 codes differ from another only in case"));
  EXPECT_THAT(text, HasSubstr("1 cases have no cancerdate"));
}

TEST(Ensure, MakesASetOnceAndAgainWhenItIsDamaged) {
  const MadeCohort cohort;
  const auto first = EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 2);
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string content = ContentOf(*first);
  const auto before = std::filesystem::last_write_time(*first + "/phrases");
  ASSERT_EQ(*EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 1), *first);
  EXPECT_EQ(std::filesystem::last_write_time(*first + "/phrases"), before);
  WriteText(*first + "/train-00000.shard", "damaged");
  ASSERT_EQ(*EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 1), *first);
  EXPECT_EQ(ContentOf(*first), content);
}

TEST(Ensure, TakesSubjectsWithoutALabelWhereAskedIntoASetOfTheirOwn) {
  const MadeCohort cohort;
  cohort.Split("train/1.pkl", {{4242, {1}, {0}}});
  const auto refused = EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("has no row in"));
  const auto taken = EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 1, {}, true);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(*EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 1, {}, true), *taken);
  EXPECT_FALSE(EnsureShards(cohort.Data(), {"train"}, cohort.Path("data"), 1).ok());
}

TEST(Ensure, NamesASetByInputsAndRules) {
  const MadeCohort cohort;
  const std::string digest = *InputDigest(cohort.Data(), {"train"});
  EXPECT_EQ(*InputDigest(cohort.Data(), {"train"}), digest);
  EXPECT_NE(*InputDigest(cohort.Data(), {"train", "tuning"}), digest);
  config::DataSection data = cohort.Data();
  data.cutoff_months = 6;  // applied while streaming
  EXPECT_EQ(*InputDigest(data, {"train"}), digest);
  data.unknown_tokens = "drop";
  EXPECT_NE(*InputDigest(data, {"train"}), digest);
  cohort.Split("train/1.pkl", {{3, {1}, {0}}});
  EXPECT_NE(*InputDigest(cohort.Data(), {"train"}), digest);
}

}  // namespace
}  // namespace anamnesis::prep
