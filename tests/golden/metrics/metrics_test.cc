// SPDX-License-Identifier: Apache-2.0
// Every metric equals scikit-learn's to 1e-12 on random splits with ties, skewed and missing
// classes; intervals equal a resampling written in Python; the baseline equals the optimum of
// scikit-learn's LogisticRegression (metrics_golden.py).
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "common/io/json.h"
#include "tests/golden/oracle.h"
#include "workers/metrics/logistic.h"
#include "workers/metrics/report.h"

namespace anamnesis::metrics {
namespace {

constexpr double kTolerance = 1e-12;

// Empty where the script failed.
const std::string& Golden() {
  static const std::string directory = [] {
    const std::string path = golden::ScratchDirectory("metrics");
    int status = 0;
    const std::string output = golden::RunOracle("metrics/metrics_golden.py", path, &status);
    if (status != 0) ADD_FAILURE() << output;
    return status == 0 ? path : std::string();
  }();
  return directory;
}

class MetricsGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
    ASSERT_FALSE(Golden().empty());
  }
  static Json ReadCases(const std::string& name) {
    auto json = ReadJsonFile(Golden() + "/" + name + ".json");
    EXPECT_TRUE(json.ok()) << json.status();
    return json.value_or(Json::array());
  }
};

// Dealt to `num_parts` in turn, from the last row on.
ScoredSplit SplitOf(const Json& json, size_t num_parts = 1) {
  std::vector<Rows> parts(num_parts);
  const auto labels = json["labels"].get<std::vector<int32_t>>();
  const auto logits = json["logits"].get<std::vector<double>>();
  const auto width = json["num_classes"].get<size_t>();
  for (Rows& part : parts) part.num_classes = static_cast<int>(width);
  for (size_t i = labels.size(); i-- > 0;) {
    parts[i % num_parts].Add(json["subjects"][i].get<int64_t>(), labels[i],
                             {logits.data() + i * width, width});
  }
  return ScoredSplit::Create(parts).value();
}

void ExpectMetric(const Metric& metric, const Json& expected, const std::string& name) {
  EXPECT_EQ(metric.value.has_value(), !expected.is_null()) << name << ": " << metric.reason;
  EXPECT_EQ(metric.value.has_value(), metric.reason.empty()) << name;
  if (!metric.value || expected.is_null()) return;
  EXPECT_NEAR(*metric.value, expected.get<double>(), kTolerance) << name;
}

ReportOptions WithoutIntervals(double alert_rate) {
  ReportOptions options;
  options.alert_rate = alert_rate;
  options.bootstrap.reset();
  return options;
}

TEST_F(MetricsGolden, EveryMetricEqualsScikitLearns) {
  const Json cases = ReadCases("cases");
  ASSERT_GT(cases.size(), 100U);
  int64_t absent = 0;
  for (size_t number = 0; number < cases.size(); ++number) {
    SCOPED_TRACE(number);
    const Json& json = cases[number];
    const auto report =
        MakeReport(SplitOf(json), WithoutIntervals(json["alert_rate"].get<double>()));
    ASSERT_TRUE(report.ok()) << report.status();
    ASSERT_EQ(report->metrics.size(), json["expected"].size());
    for (const ReportedMetric& reported : report->metrics) {
      ExpectMetric(reported.metric, json["expected"][reported.name], reported.name);
      absent += reported.metric.value ? 0 : 1;
    }
    EXPECT_NEAR(report->alerts.threshold, json["threshold"].get<double>(), kTolerance);
    EXPECT_EQ(report->confusion, json["confusion"].get<Confusion>());
    if (report->num_classes == 2 && report->Find("auroc")->value) {
      ExpectMetric(report->auroc_standard_error, json["auroc_standard_error"], "DeLong");
    }
  }
  EXPECT_GT(absent, 20);  // the cases reach what is not defined
}

TEST_F(MetricsGolden, FiguresOfEachClassEqualScikitLearns) {
  for (const Json& json : ReadCases("cases")) {
    const std::vector<ClassFigures> figures = FiguresOf(ConfusionOf(SplitOf(json)));
    const Json& expected = json["classes"];
    for (size_t c = 0; c < figures.size(); ++c) {
      EXPECT_EQ(figures[c].support, expected["support"][c].get<int64_t>());
      // scikit-learn writes 0 for a class that does not occur at all.
      EXPECT_NEAR(figures[c].precision.value.value_or(0), expected["precision"][c], kTolerance);
      EXPECT_NEAR(figures[c].recall.value.value_or(0), expected["recall"][c], kTolerance);
      EXPECT_NEAR(figures[c].f1.value.value_or(0), expected["f1"][c], kTolerance);
    }
  }
}

TEST_F(MetricsGolden, TheReportDoesNotDependOnHowRowsWereDealt) {
  const Json cases = ReadCases("intervals");
  for (const Json& json : cases) {
    ReportOptions options;
    options.bootstrap->resamples = 20;
    options.groupings = {{"parity", {{11, "odd"}, {12, "even"}}}};
    const std::string one = ReportJson(MakeReport(SplitOf(json, 1), options).value()).dump();
    for (const size_t parts : {2, 3, 7}) {
      EXPECT_EQ(ReportJson(MakeReport(SplitOf(json, parts), options).value()).dump(), one);
    }
  }
}

TEST_F(MetricsGolden, IntervalsEqualAResamplingInPython) {
  for (const Json& json : ReadCases("intervals")) {
    const ScoredSplit split = SplitOf(json);
    const Evaluator evaluator(split, 0.5);
    const auto intervals =
        BootstrapIntervals(evaluator, {.seed = json["seed"].get<uint64_t>(),
                                       .resamples = json["resamples"].get<int64_t>(),
                                       .confidence = json["confidence"].get<double>()});
    ASSERT_TRUE(intervals.ok()) << intervals.status();
    const std::vector<NamedMetric> metrics = evaluator.Compute();
    for (size_t i = 0; i < metrics.size(); ++i) {
      const std::string name(metrics[i].name);
      ASSERT_TRUE((*intervals)[i].interval) << name << ": " << (*intervals)[i].reason;
      EXPECT_NEAR((*intervals)[i].interval->low, json["expected"][name][0], kTolerance) << name;
      EXPECT_NEAR((*intervals)[i].interval->high, json["expected"][name][1], kTolerance) << name;
    }
  }
}

TEST_F(MetricsGolden, TheBaselineIsAtScikitLearnsOptimum) {
  const Json cases = ReadCases("logistic");
  ASSERT_FALSE(cases.empty());
  for (const Json& json : cases) {
    SparseMatrix features;
    features.num_columns = json["num_features"].get<int64_t>();
    features.row_starts = json["row_starts"].get<std::vector<int64_t>>();
    features.columns = json["columns"].get<std::vector<int32_t>>();
    features.values = json["values"].get<std::vector<double>>();
    const auto labels = json["labels"].get<std::vector<int32_t>>();
    const auto num_classes = json["num_classes"].get<int>();
    const auto model = FitLogistic(features, labels, num_classes, {.c = json["c"].get<double>()});
    ASSERT_TRUE(model.ok()) << model.status();
    for (size_t i = 0; i < model->weights_KV.size(); ++i) {
      EXPECT_NEAR(model->weights_KV[i], json["weights"][i], 1e-6) << i;
    }
    for (size_t k = 0; k < model->intercepts_K.size(); ++k) {
      EXPECT_NEAR(model->intercepts_K[k], json["intercepts"][k], 1e-6) << k;
    }
    Rows rows;
    rows.num_classes = num_classes;
    rows.labels = labels;
    for (size_t i = 0; i < labels.size(); ++i) rows.subjects.push_back(static_cast<int64_t>(i));
    rows.logits_NC = LogitsOf(*model, features).value();
    const ScoredSplit split = ScoredSplit::Create({rows}).value();
    for (int64_t row = 0; row < split.num_rows(); ++row) {
      for (size_t c = 0; c < static_cast<size_t>(num_classes); ++c) {
        const size_t at = static_cast<size_t>(row) * static_cast<size_t>(num_classes) + c;
        EXPECT_NEAR(split.probabilities(row)[c], json["probabilities"][at], 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace anamnesis::metrics
