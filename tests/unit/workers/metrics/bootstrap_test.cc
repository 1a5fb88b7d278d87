// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/bootstrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/philox.h"
#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

using ::testing::HasSubstr;

constexpr size_t kLoss = 0, kAuroc = 8;  // in Evaluator::Compute

ScoredSplit Noisy(int num_subjects) {
  PhiloxStream random(5, 5);
  std::vector<Case> cases;
  for (int i = 0; i < num_subjects; ++i) {
    const int32_t label = i % 3 == 0 ? 1 : 0;
    cases.push_back({label, 0.2 + 0.3 * label + 0.4 * random.Uniform()});
  }
  return SplitOf(cases);
}

std::vector<IntervalOrReason> IntervalsOf(const ScoredSplit& split,
                                          const BootstrapOptions& options) {
  const Evaluator evaluator(split, std::nullopt);
  return BootstrapIntervals(evaluator, options).value();
}

TEST(Bootstrap, TheIntervalHoldsTheValueAndNarrowsWithMoreSubjects) {
  const ScoredSplit few = Noisy(60), many = Noisy(960);
  const double loss = *Evaluator(many, std::nullopt).Compute()[kLoss].metric.value;
  const Interval wide = *IntervalsOf(few, {.resamples = 200})[kLoss].interval;
  const Interval narrow = *IntervalsOf(many, {.resamples = 200})[kLoss].interval;
  EXPECT_LT(narrow.low, loss);
  EXPECT_GT(narrow.high, loss);
  EXPECT_LT(narrow.high - narrow.low, (wide.high - wide.low) / 2.5);
}

TEST(Bootstrap, TheSeedAloneDecides) {
  const ScoredSplit split = Noisy(40);
  const auto low = [&](uint64_t seed) {
    return IntervalsOf(split, {.seed = seed, .resamples = 50})[kLoss].interval->low;
  };
  EXPECT_EQ(low(1), low(1));
  EXPECT_NE(low(1), low(2));
}

TEST(Bootstrap, ASubjectsRowsComeAndGoTogether) {
  // Each subject twice: the same intervals as each once.
  Rows rows{.num_classes = 2};
  const ScoredSplit once = Noisy(30);
  for (int64_t row = 0; row < once.num_rows(); ++row) {
    const auto i = static_cast<size_t>(row);
    for (int time = 0; time < 2; ++time) {
      rows.Add(once.subjects()[i], once.labels()[i], once.logits(row));
    }
  }
  const ScoredSplit twice = ScoredSplit::Create({rows}).value();
  const auto one = IntervalsOf(once, {.resamples = 50}),
             two = IntervalsOf(twice, {.resamples = 50});
  EXPECT_DOUBLE_EQ(one[kAuroc].interval->low, two[kAuroc].interval->low);
  EXPECT_DOUBLE_EQ(one[kLoss].interval->high, two[kLoss].interval->high);
}

TEST(Bootstrap, IsAbsentWhereTooManyResamplesLackAClass) {
  const auto intervals = IntervalsOf(SplitOf({{0, 0.1}, {0, 0.2}, {1, 0.9}}), {.resamples = 100});
  EXPECT_TRUE(intervals[kLoss].interval);
  EXPECT_FALSE(intervals[kAuroc].interval);
  EXPECT_THAT(intervals[kAuroc].reason, HasSubstr("of 100 resamples"));
}

TEST(Bootstrap, NeedsTwoSubjects) {
  EXPECT_EQ(IntervalsOf(SplitOf({{0, 0.5}}), {})[kLoss].reason, "a single subject");
  EXPECT_EQ(IntervalsOf(SplitOf({}), {})[kLoss].reason, "no subjects");
}

TEST(Bootstrap, RefusesOptionsOutOfRange) {
  const ScoredSplit split = Noisy(10);
  const Evaluator evaluator(split, std::nullopt);
  for (const BootstrapOptions& options :
       {BootstrapOptions{.resamples = 0}, BootstrapOptions{.resamples = 2'000'000},
        BootstrapOptions{.confidence = 0}, BootstrapOptions{.confidence = 1}}) {
    EXPECT_EQ(BootstrapIntervals(evaluator, options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace anamnesis::metrics
