// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/class_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

using ::testing::ElementsAre;

TEST(Confusion, HasLabelsInRowsAndPredictionsInColumns) {
  const Confusion confusion = ConfusionOf(SplitOf(2, {0, 0, 0, 1, 1}, {0, 1, 1, 1, 0}));
  EXPECT_THAT(confusion, ElementsAre(ElementsAre(1, 2), ElementsAre(1, 1)));
}

TEST(Confusion, CountsWeights) {
  const std::vector<int32_t> weights = {3, 0};
  EXPECT_THAT(ConfusionOf(SplitOf(2, {0, 1}, {0, 1}), weights),
              ElementsAre(ElementsAre(3, 0), ElementsAre(0, 0)));
}

TEST(ClassFigures, AreRatiosOfTheConfusion) {
  const auto figures = FiguresOf({{1, 2}, {1, 3}});
  EXPECT_EQ(figures[1].precision, Metric::Of(3.0 / 5));
  EXPECT_EQ(figures[1].recall, Metric::Of(3.0 / 4));
  EXPECT_EQ(figures[1].f1, Metric::Of(6.0 / 9));
  EXPECT_EQ(figures[1].support, 4);
}

TEST(ClassFigures, ARatioWithoutCasesIsZeroAndAClassThatDoesNotOccurHasNone) {
  const auto figures = FiguresOf({{2, 0, 0}, {1, 0, 0}, {0, 0, 0}});
  EXPECT_EQ(figures[1].precision, Metric::Of(0));  // never predicted
  EXPECT_EQ(figures[1].recall, Metric::Of(0));
  EXPECT_FALSE(figures[2].precision.value);
  EXPECT_FALSE(figures[2].f1.reason.empty());
}

TEST(ClassAverages, LeaveOutAClassThatDoesNotOccur) {
  const ClassAverages averages = AveragesOf({{2, 0, 0}, {1, 1, 0}, {0, 0, 0}});
  EXPECT_EQ(averages.recall_macro, Metric::Of((1.0 + 0.5) / 2));
  EXPECT_EQ(averages.recall_weighted, averages.accuracy);
  EXPECT_EQ(averages.accuracy, Metric::Of(3.0 / 4));
}

TEST(ClassAverages, AreAbsentWithoutRows) {
  const ClassAverages averages = AveragesOf({{0, 0}, {0, 0}});
  EXPECT_EQ(averages.accuracy, Metric::Absent("no rows"));
  EXPECT_EQ(averages.f1_macro, Metric::Absent("no rows"));
  EXPECT_EQ(averages.f1_weighted, Metric::Absent("no rows"));
}

}  // namespace
}  // namespace anamnesis::metrics
