// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/prediction_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace anamnesis::metrics {
namespace {

ScoredSplit ScoresOf(int num_classes, const std::vector<std::vector<double>>& logits) {
  Rows rows{.num_classes = num_classes};
  for (size_t i = 0; i < logits.size(); ++i) rows.Add(static_cast<int64_t>(i), 0, logits[i]);
  return *ScoredSplit::Create({rows});
}

TEST(PredictionFile, HasALineForEachSubjectInTheirOrder) {
  const std::vector<PredictedSubject> subjects = {
      {.subject_id = 9, .time_us = 86'400'000'000, .label = 1},
      {.subject_id = -4, .time_us = std::nullopt, .label = std::nullopt},
      {.subject_id = 7, .time_us = 1'500'000, .label = 0}};
  const std::string text = PredictionText(
      subjects, ScoresOf(2, {{0, 0}, {0, std::log(3.0)}, {800, -800}}), {"Control", "Case"}, 0.6);
  EXPECT_EQ(
      text,
      "subject_id,prediction_time,label,predicted_label,probability_Control,probability_Case\n"
      "9,1970-01-02T00:00:00,1,0,0.5,0.5\n"
      "-4,,,1,0.25,0.75\n"
      "7,1970-01-01T00:00:01.5,0,0,1,0\n");
}

TEST(PredictionFile, QuotesTheNamesOfClassesThatNeedIt) {
  const std::string text =
      PredictionText({}, ScoresOf(3, {}), {"a", "b, c", "the \"d\""}, std::nullopt);
  EXPECT_EQ(text,
            "subject_id,prediction_time,label,predicted_label,probability_a,\"probability_b, c\","
            "\"probability_the \"\"d\"\"\"\n");
}

TEST(PredictionFile, ProbabilitiesReadBackToTheSameBits) {
  const ScoredSplit scores = ScoresOf(2, {{0.1, 0.3}});
  const std::string text =
      PredictionText({{1, std::nullopt, std::nullopt}}, scores, {"a", "b"}, std::nullopt);
  const std::string last = text.substr(text.rfind(',') + 1);
  EXPECT_EQ(std::stod(last), scores.probabilities(0)[1]);
}

TEST(PredictedLabel, OfTwoClassesIsTheThresholds) {
  const ScoredSplit scores = ScoresOf(2, {{0, std::log(3.0)}});  // a risk of 0.75
  const double risk = scores.risks()[0];
  EXPECT_EQ(PredictedLabel(scores, 0, std::nullopt), 1);
  EXPECT_EQ(PredictedLabel(scores, 0, risk), 1);  // at the threshold is above it
  EXPECT_EQ(PredictedLabel(scores, 0, std::nextafter(risk, 1.0)), 0);
  EXPECT_EQ(PredictedLabel(scores, 0, 0.9), 0);
}

TEST(PredictedLabel, OfMoreClassesIsTheLargestWhateverTheThreshold) {
  const ScoredSplit scores = ScoresOf(3, {{0, 1, 2}, {1, 1, 0}});
  EXPECT_EQ(PredictedLabel(scores, 0, 0.99), 2);
  EXPECT_EQ(PredictedLabel(scores, 1, 0.01), 0);
}

}  // namespace
}  // namespace anamnesis::metrics
