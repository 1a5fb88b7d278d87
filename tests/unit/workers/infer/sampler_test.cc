// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace anamnesis::infer {
namespace {

using testing::ElementsAre;

const std::vector<float> kScores = {0.0F, 2.0F, -1.0F, 1.0F, 0.5F};

std::vector<int64_t> Draw(const SamplingOptions& options, int count) {
  Sampler sampler(options);
  std::vector<int64_t> out;
  for (int i = 0; i < count; ++i) out.push_back(sampler.Choose(kScores));
  return out;
}

std::map<int64_t, double> Shares(const SamplingOptions& options, int count) {
  std::map<int64_t, double> out;
  for (const int64_t id : Draw(options, count)) out[id] += 1.0 / count;
  return out;
}

TEST(Sampler, GreedilyTakesTheFirstOfTheLargest) {
  Sampler sampler(SamplingOptions{});
  EXPECT_EQ(sampler.Choose(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(sampler.Choose(std::vector<float>{-5}), 0);
}

TEST(Sampler, DrawsTheSoftmaxOfTheScoresByTemperature) {
  constexpr int kDraws = 200000;
  for (const double temperature : {0.5, 1.0, 3.0}) {
    double sum = 0, chi_squared = 0;
    for (const float score : kScores) sum += std::exp(score / temperature);
    auto shares = Shares({.temperature = temperature, .seed = 3}, kDraws);
    for (size_t id = 0; id < kScores.size(); ++id) {
      const double p = std::exp(kScores[id] / temperature) / sum;
      chi_squared += kDraws * std::pow(shares[static_cast<int64_t>(id)] - p, 2) / p;
    }
    EXPECT_LT(chi_squared, 18.5) << temperature;  // 4 degrees of freedom: p = 0.001
  }
}

TEST(Sampler, TopPKeepsTheFewestThatReachTheMass) {
  // p = 0.550, 0.202, 0.123, 0.074, 0.027 × … by falling score: ids 1, 3, 4, 0, 2.
  double sum = 0;
  for (const float score : kScores) sum += std::exp(score);
  const double first = std::exp(2.0) / sum, second = std::exp(1.0) / sum;
  EXPECT_EQ(Shares({.temperature = 1, .top_p = first - 1e-6}, 1000).size(), 1U);
  auto two = Shares({.temperature = 1, .top_p = first + 1e-6, .seed = 9}, 100000);
  EXPECT_EQ(two.size(), 2U);
  EXPECT_NEAR(two[1], first / (first + second), 0.006);  // 4 standard errors
  EXPECT_EQ(two.count(3), 1U);
  EXPECT_EQ(Shares({.temperature = 1, .top_p = 1e-9}, 1000).size(), 1U);
}

TEST(Sampler, SeedDecidesTheDraws) {
  const SamplingOptions options{.temperature = 1, .seed = 5}, other{.temperature = 1, .seed = 6};
  EXPECT_EQ(Draw(options, 200), Draw(options, 200));
  EXPECT_NE(Draw(options, 200), Draw(other, 200));
}

TEST(Sampler, AnExtremeTemperatureIsStillADistribution) {
  EXPECT_EQ(Shares({.temperature = 1e-300}, 100).size(), 1U);
  EXPECT_EQ(Shares({.temperature = 1000}, 1000).size(), 5U);
}

TEST(Penalty, PushesEachIdOfTheSequenceDownOnce) {
  std::vector<float> scores = {2, -2, 3, 0};
  PenaliseRepetition(std::vector<int64_t>{0, 1, 0, 99, 3}, 2, scores);
  EXPECT_THAT(scores, ElementsAre(1, -4, 3, 0));
}

}  // namespace
}  // namespace anamnesis::infer
