// SPDX-License-Identifier: Apache-2.0
#include "workers/track/log_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace anamnesis::track {
namespace {

TEST(LogRow, TakesTheNamesOfTransformers) {
  const Json row = {{"epoch", 0.5},
                    {"eval_loss", 2.0},
                    {"learning_rate", 1e-3},
                    {"test_auroc", 0.7},
                    {"step", 4}};
  EXPECT_EQ(ScalarsOf(row), (Scalars{{"train/epoch", 0.5},
                                     {"eval/loss", 2.0},
                                     {"train/learning_rate", 1e-3},
                                     {"test/auroc", 0.7}}));
  EXPECT_EQ(StepOf(row), 4);
}

TEST(LogRow, KeepsNumbersThatJsonLacks) {
  const Scalars scalars =
      ScalarsOf({{"a", "nan"}, {"b", "inf"}, {"c", "-inf"}, {"d", "words"}, {"e", nullptr}});
  ASSERT_EQ(scalars.size(), 3u);
  EXPECT_TRUE(std::isnan(scalars[0].second));
  EXPECT_EQ(scalars[1].second, std::numeric_limits<double>::infinity());
  EXPECT_EQ(scalars[2].second, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(NumberText(scalars[0].second), "NaN");
  EXPECT_EQ(NumberText(scalars[1].second), "Infinity");
  EXPECT_EQ(NumberText(scalars[2].second), "-Infinity");
}

TEST(LogRow, WritesEveryBitOfANumber) {
  EXPECT_EQ(std::strtod(NumberText(0.1 + 0.2).c_str(), nullptr), 0.1 + 0.2);
  EXPECT_EQ(std::strtod(NumberText(5e-324).c_str(), nullptr), 5e-324);
}

TEST(LogRow, HasNothingOfWhatIsNoRow) {
  EXPECT_TRUE(ScalarsOf(Json::array({1})).empty());
  EXPECT_EQ(StepOf(Json()), 0);
}

}  // namespace
}  // namespace anamnesis::track
