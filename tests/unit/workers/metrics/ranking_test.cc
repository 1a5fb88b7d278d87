// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/ranking.h"

#include <gtest/gtest.h>

#include <cmath>

namespace anamnesis::metrics {
namespace {

Ranking Of(const std::vector<double>& scores, std::vector<uint8_t> positive) {
  return Ranking(scores, std::move(positive));
}

TEST(Auroc, IsTheShareOfPairsThatThePositiveWins) {
  EXPECT_EQ(Of({0.9, 0.8, 0.7, 0.1}, {1, 0, 1, 0}).Auroc(), Metric::Of(0.75));
  EXPECT_EQ(Of({0.1, 0.9}, {1, 0}).Auroc(), Metric::Of(0));
}

TEST(Auroc, ATieIsHalfAWin) {
  EXPECT_EQ(Of({0.5, 0.5, 0.5}, {1, 0, 0}).Auroc(), Metric::Of(0.5));
  EXPECT_EQ(Of({0.5, 0.5, 0.1}, {1, 0, 0}).Auroc(), Metric::Of(0.75));
}

TEST(Auroc, AWeightIsSoManyRows) {
  const std::vector<int32_t> weights = {1, 3, 2, 0};
  EXPECT_EQ(Of({3, 2, 1, 0}, {1, 0, 1, 0}).Auroc(weights),
            Of({3, 2, 2, 2, 1, 1}, {1, 0, 0, 0, 1, 1}).Auroc());
}

TEST(Auroc, IsAbsentWithOneKindOnly) {
  EXPECT_EQ(Of({1, 2}, {1, 1}).Auroc(), Metric::Absent("no negatives"));
  EXPECT_EQ(Of({1, 2}, {0, 0}).Auroc(), Metric::Absent("no positives"));
  EXPECT_EQ(Of({}, {}).Auroc(), Metric::Absent("no rows"));
  const std::vector<int32_t> weights = {1, 0};
  EXPECT_EQ(Of({1, 2}, {1, 0}).Auroc(weights), Metric::Absent("no negatives"));
}

TEST(Auprc, SumsPrecisionWhereRecallGrows) {
  EXPECT_EQ(Of({4, 3, 2, 1}, {1, 0, 1, 0}).Auprc(), Metric::Of((1.0 + 2.0 / 3) / 2));
  EXPECT_EQ(Of({1, 1, 1, 1}, {1, 0, 0, 0}).Auprc(), Metric::Of(0.25));  // all tie
}

TEST(Auprc, IsAbsentWithoutPositivesAndOneWithoutNegatives) {
  EXPECT_EQ(Of({1, 2}, {0, 0}).Auprc(), Metric::Absent("no positives"));
  EXPECT_EQ(Of({1, 2}, {1, 1}).Auprc(), Metric::Of(1));
  EXPECT_EQ(Of({}, {}).Auprc(), Metric::Absent("no rows"));
}

TEST(AurocStandardError, IsDeLongs) {
  // Placements of the positives 1, ½ and of the negatives 1, ½: variances ⅛ each, two of each.
  const Metric error = Of({4, 3, 2, 1}, {1, 0, 1, 0}).AurocStandardError();
  ASSERT_TRUE(error.value);
  EXPECT_NEAR(*error.value, std::sqrt(0.125 / 2 + 0.125 / 2), 1e-15);
}

TEST(AurocStandardError, IsZeroForAPerfectOrderAndAbsentForASinglePositive) {
  EXPECT_EQ(Of({4, 3, 2, 1}, {1, 1, 0, 0}).AurocStandardError(), Metric::Of(0));
  EXPECT_EQ(Of({4, 2, 1}, {1, 0, 0}).AurocStandardError(), Metric::Absent("a single positive"));
  EXPECT_EQ(Of({4, 2, 1}, {1, 1, 0}).AurocStandardError(), Metric::Absent("a single negative"));
  EXPECT_EQ(Of({4, 2}, {1, 1}).AurocStandardError(), Metric::Absent("no negatives"));
}

TEST(Ceiling, IsPassedByMoreThanTwoStandardErrors) {
  EXPECT_FALSE(IsAboveCeiling(0.9, 0.02, 0.87));
  EXPECT_TRUE(IsAboveCeiling(0.9, 0.01, 0.87));
}

}  // namespace
}  // namespace anamnesis::metrics
