// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/render.h"

#include "common/base/civil.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/workers/prep/made_cohort.h"
#include "workers/prep/prepare.h"

namespace anamnesis::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kReadme[] = "AGE_decile 5, FEMALE, Diseases of the circulatory system, Glucose 5";

std::vector<std::string> Lines(const config::DataSection& data, const RenderOptions& options,
                               Status* status) {
  std::vector<std::string> lines;
  *status = RenderRaw(data, options, [&](const std::string& line) { lines.push_back(line); });
  return lines;
}

TEST(Render, GivesTheReadmeExampleToTheLetter) {
  const MadeCohort cohort;
  Status status;
  EXPECT_THAT(Lines(cohort.Data(), {.split = "train", .subject_ids = {1}}, &status),
              ElementsAre(Cat("1\t", kReadme)));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Render, CutsACaseBeforeTheDiagnosisAndKeepsControls) {
  const MadeCohort cohort;
  Status status;
  EXPECT_THAT(Lines(cohort.Data(), {.split = "train"}, &status),
              ElementsAre(Cat("1\t", kReadme),
                          "2\tAGE_decile 5, Diseases of the circulatory system", "3\tmmol/L"));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(
      Lines(cohort.Data(), {.split = "train", .subject_ids = {2}, .cutoff_months = 0}, &status),
      ElementsAre("2\tAGE_decile 5, Diseases of the circulatory system, 4d-7d, Glucose 5"));
  config::DataSection inclusive = cohort.Data();
  inclusive.boundary = "inclusive";
  EXPECT_THAT(Lines(inclusive, {.split = "train", .subject_ids = {2}}, &status),
              ElementsAre("2\tAGE_decile 5, Diseases of the circulatory system, 4d-7d, Glucose 5"));
}

TEST(Render, GivesASubjectWithoutTextAnEmptyNarrative) {
  const MadeCohort cohort;
  Status status;
  EXPECT_THAT(Lines(cohort.Data(), {.split = "tuning"}, &status), ElementsAre("5\t"));
}

TEST(Render, PrintsSubjectsInTheOrderAskedAndNamesMissingOnes) {
  const MadeCohort cohort;
  Status status;
  EXPECT_THAT(Lines(cohort.Data(), {.split = "train", .subject_ids = {3, 1}}, &status),
              ElementsAre("3\tmmol/L", Cat("1\t", kReadme)));
  EXPECT_THAT(Lines(cohort.Data(), {.split = "train", .subject_ids = {3, 42}}, &status),
              ElementsAre("3\tmmol/L"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(status), HasSubstr("42"));
}

TEST(Render, CutsEverybodyAsOfADate) {
  const MadeCohort cohort;
  Status status;
  EXPECT_THAT(
      Lines(cohort.Data(), {.split = "train", .as_of_us = MicrosFromCivil(1970, 1, 1)}, &status),
      ElementsAre("1\tAGE_decile 5, FEMALE, Diseases of the circulatory system", "2\tAGE_decile 5",
                  "3\t"));
}

TEST(Render, ReadsShardsWithoutACutUnlessAsked) {
  const MadeCohort cohort;
  ASSERT_TRUE(Prepare(cohort.Data(), {.out = cohort.Path("out")}).ok());
  std::vector<std::string> lines;
  const LineSink sink = [&](const std::string& line) { lines.push_back(line); };
  ASSERT_TRUE(RenderShards(cohort.Path("out"), {.split = "train", .subject_ids = {2}}, sink).ok());
  ASSERT_TRUE(RenderShards(cohort.Path("out"),
                           {.split = "train", .subject_ids = {2}, .cutoff_months = 1}, sink)
                  .ok());
  EXPECT_THAT(lines,
              ElementsAre("2\tAGE_decile 5, Diseases of the circulatory system, 4d-7d, Glucose 5",
                          "2\tAGE_decile 5, Diseases of the circulatory system"));
}

TEST(Render, TreatsACaseWithoutADateAsTheConfigSays) {
  const MadeCohort cohort;
  cohort.Split("tuning/0.pkl", {{4, {3}, {5}}});
  config::DataSection data = cohort.Data();
  Status status;
  Lines(data, {.split = "tuning"}, &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  data.on_missing_date = "keep";
  EXPECT_THAT(Lines(data, {.split = "tuning"}, &status), ElementsAre("4\tAGE_decile 5"));
  data.on_missing_date = "drop";
  EXPECT_THAT(Lines(data, {.split = "tuning"}, &status), ElementsAre());
  EXPECT_TRUE(status.ok());
}

}  // namespace
}  // namespace anamnesis::prep
