// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ScoredSplit Six() { return SplitOf({{0, 0.1}, {1, 0.4}, {0, 0.5}, {1, 0.8}, {0, 0.6}, {1, 0.9}}); }

ReportOptions Quick() {
  ReportOptions options;
  options.alert_rate = 0.4;
  options.bootstrap = BootstrapOptions{.resamples = 20};
  return options;
}

TEST(Report, AStoredThresholdGoesBeforeTheRate) {
  ReportOptions options = Quick();
  EXPECT_NEAR(MakeReport(Six(), options)->alerts.threshold, 0.8, 1e-15);
  options.threshold = 0.55;
  EXPECT_EQ(MakeReport(Six(), options)->alerts.threshold, 0.55);
  EXPECT_EQ(*MakeReport(Six(), options)->Find("ppv"), Metric::Of(2.0 / 3));
}

TEST(Report, SubgroupsAreInOrderAndEmptyOnesSayNoRows) {
  ReportOptions options = Quick();
  options.groupings = {
      {"site", {{1, "10"}, {2, "10"}, {3, "9"}, {4, "9"}, {5, "west"}, {99, "2"}}}};
  const auto report = MakeReport(Six(), options);
  const Subgroups& sites = report->subgroups.at(0);
  std::vector<std::string> values;
  for (const SubgroupFigures& group : sites.groups) values.push_back(group.value);
  EXPECT_THAT(values, ::testing::ElementsAre("2", "9", "10", "(not known)", "west"));
  EXPECT_EQ(sites.groups[0].rows, 0);
  for (const ReportedMetric& reported : sites.groups[0].metrics) {
    EXPECT_FALSE(reported.metric.value) << reported.name;
  }
  EXPECT_EQ(sites.groups[0].metrics[0].metric, Metric::Absent("no rows"));
  EXPECT_EQ(sites.groups[2].positives, 1);
  EXPECT_EQ(sites.groups[4].metrics[8].metric, Metric::Absent("no positives"));
}

TEST(Report, SubgroupsUseTheThresholdOfTheWholeSplit) {
  ReportOptions options = Quick();
  options.groupings = {{"sex", {{1, "F"}, {2, "F"}, {3, "F"}, {4, "M"}, {5, "M"}, {6, "M"}}}};
  const auto report = MakeReport(Six(), options);
  const auto& groups = report->subgroups.at(0).groups;
  EXPECT_EQ(groups[0].metrics.at(12).name, "alert_rate");
  EXPECT_EQ(groups[0].metrics.at(12).metric, Metric::Of(0));
  EXPECT_EQ(groups[1].metrics.at(12).metric, Metric::Of(2.0 / 3));
}

TEST(Report, NeedsRows) {
  EXPECT_EQ(MakeReport(SplitOf({}), Quick()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Report, AStandardErrorNeedsOneRowASubjectAndTwoClasses) {
  EXPECT_TRUE(MakeReport(Six(), Quick())->auroc_standard_error.value);
  EXPECT_FALSE(MakeReport(SplitOf(3, {0, 1, 2}, {0, 1, 2}), Quick())->auroc_standard_error.value);
  Rows rows{.num_classes = 2,
            .subjects = {1, 1, 2},
            .labels = {0, 1, 1},
            .logits_NC = {0, 1, 1, 0, 0, 2}};
  const auto report = MakeReport(ScoredSplit::Create({rows}).value(), Quick());
  EXPECT_THAT(report->auroc_standard_error.reason, HasSubstr("several rows"));
}

TEST(Report, JsonHasNoNumberWhereAMetricHasNone) {
  ReportOptions options = Quick();
  const Json json = ReportJson(MakeReport(SplitOf({{0, 0.2}, {0, 0.3}}), options).value());
  EXPECT_TRUE(json["metrics"]["auroc"]["value"].is_null());
  EXPECT_EQ(json["metrics"]["auroc"]["reason"], "no positives");
  EXPECT_TRUE(json["metrics"]["loss"]["low"].is_number());
  EXPECT_FALSE(json["metrics"]["auroc"].contains("low"));
  EXPECT_EQ(json["confusion"][0][0], 2);
  EXPECT_TRUE(ParseJson(json.dump(), "report").ok());
}

TEST(Report, TextStandsBesideTheBaselines) {
  const SplitReport report = MakeReport(Six(), Quick()).value();
  const SplitReport baseline = MakeReport(SplitOf({{0, 0.4}, {1, 0.6}}), Quick()).value();
  EXPECT_THAT(ReportText(report, &baseline),
              AllOf(HasSubstr("BASELINE"), HasSubstr("auroc"), HasSubstr("6 subjects")));
  EXPECT_THAT(ReportText(report), Not(HasSubstr("BASELINE")));
  EXPECT_THAT(ReportText(MakeReport(SplitOf({{0, 0.2}, {0, 0.3}}), Quick()).value()),
              HasSubstr("auroc is not defined: no positives"));
}

}  // namespace
}  // namespace anamnesis::metrics
