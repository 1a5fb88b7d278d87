// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/alert.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

ScoredSplit Five() { return SplitOf({{0, 0.1}, {1, 0.4}, {0, 0.4}, {1, 0.8}, {0, 0.6}}); }

TEST(ThresholdAtRate, IsTheRiskOfTheLastRowThatMayAlert) {
  EXPECT_NEAR(ThresholdAtRate(Five(), 0.2).value(), 0.8, 1e-15);
  EXPECT_NEAR(ThresholdAtRate(Five(), 0.4).value(), 0.6, 1e-15);
  EXPECT_NEAR(ThresholdAtRate(Five(), 0.29).value(), 0.8, 1e-15);  // 1.45 rows: one
  EXPECT_NEAR(ThresholdAtRate(Five(), 0.31).value(), 0.6, 1e-15);  // 1.55 rows: two
}

TEST(ThresholdAtRate, LetsAtLeastOneAlert) {
  EXPECT_NEAR(ThresholdAtRate(Five(), 0.001).value(), 0.8, 1e-15);
}

TEST(ThresholdAtRate, TiesAlertTogether) {
  const ScoredSplit split = Five();
  const AlertFigures alerts = AlertsAt(split, ThresholdAtRate(split, 0.6).value());
  EXPECT_EQ(alerts.alerts, 4);
  EXPECT_EQ(alerts.alert_rate, Metric::Of(0.8));
}

TEST(ThresholdAtRate, RefusesARateThatIsNone) {
  for (const double rate : {0.0, 1.0, -0.1, 1.5, std::nan("")}) {
    EXPECT_EQ(ThresholdAtRate(Five(), rate).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(ThresholdAtRate(SplitOf({}), 0.1).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(AlertsAt, CountsWhoIsAlertedAndWhoIsRight) {
  const AlertFigures alerts = AlertsAt(Five(), 0.5);
  EXPECT_EQ(alerts.alerts, 2);
  EXPECT_EQ(alerts.ppv, Metric::Of(0.5));
  EXPECT_EQ(alerts.sensitivity, Metric::Of(0.5));
  EXPECT_EQ(alerts.specificity, Metric::Of(2.0 / 3));
}

TEST(AlertsAt, WhatIsNotDefinedIsAbsent) {
  EXPECT_EQ(AlertsAt(Five(), 0.9).ppv, Metric::Absent("no alerts at this threshold"));
  EXPECT_EQ(AlertsAt(SplitOf({{0, 0.5}}), 0.1).sensitivity, Metric::Absent("no positives"));
  EXPECT_EQ(AlertsAt(SplitOf({{1, 0.5}}), 0.1).specificity, Metric::Absent("no negatives"));
  EXPECT_EQ(AlertsAt(SplitOf({}), 0.1).alert_rate, Metric::Absent("no rows"));
}

TEST(AlertsAt, EveryLabelButTheFirstIsAPositive) {
  const AlertFigures alerts = AlertsAt(SplitOf(3, {1, 2, 0}, {2, 1, 0}), 0.7);
  EXPECT_EQ(alerts.ppv, Metric::Of(1));
  EXPECT_EQ(alerts.sensitivity, Metric::Of(1));
}

}  // namespace
}  // namespace anamnesis::metrics
