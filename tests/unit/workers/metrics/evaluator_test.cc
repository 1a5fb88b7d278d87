// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Metric Find(const std::vector<NamedMetric>& metrics, std::string_view name) {
  for (const NamedMetric& named : metrics) {
    if (named.name == name) return named.metric;
  }
  return Metric::Absent("not computed");
}

std::vector<std::string> NamesOf(const std::vector<NamedMetric>& metrics) {
  std::vector<std::string> names;
  for (const NamedMetric& named : metrics) names.emplace_back(named.name);
  return names;
}

TEST(Evaluator, NamesAreThoseOfTheHeader) {
  const ScoredSplit split = SplitOf({{0, 0.1}, {1, 0.9}});
  EXPECT_THAT(
      NamesOf(Evaluator(split, 0.5).Compute()),
      ElementsAre("loss", "accuracy", "precision_weighted", "recall_weighted", "f1_weighted",
                  "precision_macro", "recall_macro", "f1_macro", "auroc", "auprc", "brier", "ece",
                  "alert_rate", "ppv", "sensitivity", "specificity"));
  EXPECT_EQ(Evaluator(split, std::nullopt).Compute().size(), 12U);
}

TEST(Evaluator, OneClassOnlyHasALossAndNoAuroc) {
  const ScoredSplit split = SplitOf({{0, 0.1}, {0, 0.9}});
  const auto metrics = Evaluator(split, 0.5).Compute();
  EXPECT_TRUE(Find(metrics, "loss").value);
  EXPECT_TRUE(Find(metrics, "f1_macro").value);
  EXPECT_EQ(Find(metrics, "auroc"), Metric::Absent("no positives"));
  EXPECT_EQ(Find(metrics, "auprc"), Metric::Absent("no positives"));
  EXPECT_EQ(Find(metrics, "sensitivity"), Metric::Absent("no positives"));
}

TEST(Evaluator, AClassThatIsMissingTakesTheMeanWithIt) {
  const ScoredSplit split = SplitOf(3, {0, 1, 0}, {0, 1, 1});
  EXPECT_THAT(Find(Evaluator(split, std::nullopt).Compute(), "auroc").reason,
              HasSubstr("class 2 against the rest: no positives"));
}

TEST(Evaluator, WithoutRowsNothingIsDefined) {
  const ScoredSplit split = SplitOf({});
  for (const NamedMetric& named : Evaluator(split, 0.5).Compute()) {
    EXPECT_FALSE(named.metric.value) << named.name;
    EXPECT_FALSE(named.metric.reason.empty()) << named.name;
  }
}

}  // namespace
}  // namespace anamnesis::metrics
