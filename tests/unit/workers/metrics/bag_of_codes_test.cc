// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/bag_of_codes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/philox.h"
#include "workers/metrics/report.h"

namespace anamnesis::metrics {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSignal = 1'000'007;

// Of every second subject the code kSignal is there; the label follows it in 9 of 10.
std::vector<Bag> Cohort(int num_subjects, uint64_t seed) {
  PhiloxStream random(seed, 3);
  std::vector<Bag> bags;
  for (int i = 0; i < num_subjects; ++i) {
    const bool signal = random.Below(2) == 1, follows = random.Below(10) > 0;
    Bag bag{.subject = 100 + i, .label = signal == follows ? 1 : 0};
    for (int64_t code = 5; code < 15; ++code) {
      bag.codes.push_back({code, static_cast<int64_t>(random.Below(3))});
    }
    if (signal) bag.codes.push_back({kSignal, 1});
    bags.push_back(std::move(bag));
  }
  return bags;
}

double AurocOf(const BagOfCodes& baseline, const std::vector<Bag>& bags) {
  const ScoredSplit split = ScoredSplit::Create({baseline.Score(bags).value()}).value();
  return *Evaluator(split, std::nullopt).Compute()[8].metric.value;
}

TEST(BagOfCodes, FindsAPlantedCode) {
  const auto baseline = BagOfCodes::Fit(Cohort(400, 1), 2);
  ASSERT_TRUE(baseline.ok()) << baseline.status();
  EXPECT_EQ(baseline->num_features(), 11);
  EXPECT_GT(AurocOf(*baseline, Cohort(400, 2)), 0.85);
  EXPECT_GT(
      AurocOf(*BagOfCodes::Fit(Cohort(400, 1), 2, {.value = CodeValue::kCount}), Cohort(400, 2)),
      0.85);
}

TEST(BagOfCodes, TheOrderOfBagsAndCodesDoesNotMatter) {
  std::vector<Bag> turned = Cohort(50, 1);
  std::reverse(turned.begin(), turned.end());
  for (Bag& bag : turned) std::reverse(bag.codes.begin(), bag.codes.end());
  const std::vector<Bag> test = Cohort(20, 2);
  EXPECT_EQ(BagOfCodes::Fit(Cohort(50, 1), 2)->Score(test)->logits_NC,
            BagOfCodes::Fit(turned, 2)->Score(test)->logits_NC);
}

TEST(BagOfCodes, PassesOverCodesThatTrainHadNot) {
  const auto baseline = BagOfCodes::Fit(Cohort(50, 1), 2);
  Bag bag{.subject = 1, .label = 0, .codes = {{5, 1}}};
  const auto known = baseline->Score({bag})->logits_NC;
  bag.codes.push_back({999, 4});
  EXPECT_EQ(baseline->Score({bag})->logits_NC, known);
}

TEST(BagOfCodes, AddsTheCountsOfARepeatedCode) {
  const auto baseline = BagOfCodes::Fit(Cohort(50, 1), 2, {.value = CodeValue::kCount});
  EXPECT_EQ(baseline->Score({{1, 0, {{5, 1}, {5, 2}}}})->logits_NC,
            baseline->Score({{1, 0, {{5, 3}}}})->logits_NC);
}

TEST(BagOfCodes, NamesTheSubjectThatIsWrong) {
  const auto error = [](std::vector<Bag> bags) {
    return MessageOf(BagOfCodes::Fit(std::move(bags), 2).status());
  };
  EXPECT_THAT(error({{7, 2, {}}}), HasSubstr("subject 7: label 2"));
  EXPECT_THAT(error({{7, 1, {{3, -1}}}}), HasSubstr("subject 7: code 3"));
  EXPECT_THAT(error({{7, 1, {}}, {7, 0, {}}}), HasSubstr("subject 7 has two bags"));
  EXPECT_THAT(error({{7, 1, {}}, {8, 1, {}}}), HasSubstr("no row of class 0"));
}

}  // namespace
}  // namespace anamnesis::metrics
