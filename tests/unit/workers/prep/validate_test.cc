// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/validate.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/prep/made_cohort.h"
#include "workers/prep/prepare.h"

namespace anamnesis::prep {
namespace {

using ::testing::HasSubstr;

TEST(Validate, PassesGoodDataWithItsCounts) {
  const MadeCohort cohort;
  const ValidationReport report = ValidateSeedLayout(*SeedLayoutOf(cohort.Path("")), false);
  EXPECT_EQ(report.num_findings, 0u) << report.Text();
  EXPECT_THAT(report.Text(),
              HasSubstr("train: 2 files, 3 subjects, 15 events, 1 of them without a rule"));
}

TEST(Validate, GoesOnAfterAFinding) {
  const MadeCohort cohort;
  cohort.Split("train/0.pkl", {{1, {99}, {0}}, {77, {3}, {0}}, {3, {3, 3}, {9, 8}}});
  WriteText(cohort.Path("train/2.pkl"), "no pickle");
  cohort.Split("tuning/0.pkl", {{3, {3}, {0}}});
  const std::string strict = ValidateSeedLayout(cohort.Data(), false).Text();
  EXPECT_THAT(strict, HasSubstr("train/0.pkl: subject 0: event 0: token id 99"));
  EXPECT_THAT(strict, HasSubstr("train/0.pkl: subject 1: has no row"));
  EXPECT_THAT(strict, HasSubstr("train/0.pkl: subject 2: event 1: is earlier"));
  EXPECT_THAT(strict, HasSubstr("train/2.pkl: byte"));
  EXPECT_THAT(strict, HasSubstr("1 subject(s) are in both train and tuning"));
  EXPECT_THAT(strict, HasSubstr("invalid: 5 finding(s)"));
  const std::string lenient = ValidateSeedLayout(cohort.Data(), true).Text();
  EXPECT_THAT(lenient, HasSubstr("passed over: 1 subjects with times out of order"));
  EXPECT_THAT(lenient, HasSubstr("passed over: 1 subjects without a label"));
}

TEST(Validate, ReadsEveryByteOfAShardSet) {
  const MadeCohort cohort;
  ASSERT_TRUE(Prepare(cohort.Data(), {.out = cohort.Path("out")}).ok());
  EXPECT_EQ(ValidateShards(cohort.Path("out")).num_findings, 0u);
  WriteText(cohort.Path("out/tuning.subject-hashes"), "12345678");
  const std::string text = ValidateShards(cohort.Path("out")).Text();
  EXPECT_THAT(text, HasSubstr("tuning.subject-hashes: SHA-256 differs"));
}

TEST(Validate, SaysWhatAFolderIsNot) {
  const MadeCohort cohort;
  EXPECT_THAT(MessageOf(SeedLayoutOf(cohort.Path("train")).status()),
              HasSubstr("it has no vocab.csv"));
}

}  // namespace
}  // namespace anamnesis::prep
