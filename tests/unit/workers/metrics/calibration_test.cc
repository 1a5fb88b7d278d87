// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

TEST(Loss, IsTheMeanCrossEntropy) {
  const Metric loss = Calibration(SplitOf({{1, 0.8}, {0, 0.5}})).Loss();
  EXPECT_NEAR(*loss.value, (-std::log(0.8) - std::log(0.5)) / 2, 1e-15);
}

TEST(Loss, IsExactWhereProbabilitiesSaturate) {
  Rows rows{.num_classes = 2, .subjects = {1, 2}, .labels = {0, 1}, .logits_NC = {0, 900, 0, 50}};
  const Metric loss = Calibration(ScoredSplit::Create({rows}).value()).Loss();
  EXPECT_DOUBLE_EQ(*loss.value, (900 + std::exp(-50)) / 2);
  rows = {.num_classes = 2, .subjects = {1}, .labels = {1}, .logits_NC = {0, 50}};
  EXPECT_DOUBLE_EQ(*Calibration(ScoredSplit::Create({rows}).value()).Loss().value, std::exp(-50));
}

TEST(Loss, ThatIsBeyondANumberIsAbsent) {
  Rows rows{.num_classes = 2, .subjects = {1}, .labels = {0}, .logits_NC = {-1.7e308, 1.7e308}};
  EXPECT_FALSE(Calibration(ScoredSplit::Create({rows}).value()).Loss().value);
}

TEST(Brier, IsTheSquareOfTheError) {
  EXPECT_NEAR(*Calibration(SplitOf({{1, 0.8}, {0, 0.5}})).Brier().value, (0.04 + 0.25) / 2, 1e-15);
}

TEST(Brier, OfSeveralClassesSumsOverThem) {
  const Calibration sure(SplitOf(3, {0}, {0}));
  const double e = std::exp(1), right = e / (e + 2), wrong = 1 / (e + 2);
  EXPECT_NEAR(*sure.Brier().value, (1 - right) * (1 - right) + 2 * wrong * wrong, 1e-15);
}

TEST(Ece, WeighsTheGapOfEachBin) {
  // Bin 3 (0.2 to 0.267) holds two rows, bin 13 one.
  const Calibration calibration(SplitOf({{1, 0.22}, {0, 0.24}, {1, 0.9}}));
  EXPECT_NEAR(*calibration.Ece().value, (2 * std::abs(0.23 - 0.5) + 0.1) / 3, 1e-15);
}

TEST(Ece, CountsWeights) {
  const Calibration calibration(SplitOf({{1, 0.22}, {0, 0.24}, {1, 0.9}}));
  const std::vector<int32_t> weights = {0, 2, 1};
  EXPECT_NEAR(*calibration.Ece(weights).value, (2 * 0.24 + 0.1) / 3, 1e-15);
}

TEST(Ece, CertaintyIsInTheLastBin) {
  Rows rows{.num_classes = 2, .subjects = {1}, .labels = {0}, .logits_NC = {-800, 800}};
  EXPECT_EQ(Calibration(ScoredSplit::Create({rows}).value()).Ece(), Metric::Of(1));
}

TEST(Calibration, IsAbsentWithoutRows) {
  const Calibration calibration(SplitOf({}));
  EXPECT_EQ(calibration.Loss(), Metric::Absent("no rows"));
  EXPECT_EQ(calibration.Brier(), Metric::Absent("no rows"));
  EXPECT_EQ(calibration.Ece(), Metric::Absent("no rows"));
}

TEST(Perplexity, IsAbsentWhereItIsTooLarge) {
  EXPECT_EQ(Perplexity(2), Metric::Of(std::exp(2)));
  EXPECT_FALSE(Perplexity(1000).value);
  EXPECT_FALSE(Perplexity(std::nan("")).value);
}

}  // namespace
}  // namespace anamnesis::metrics
