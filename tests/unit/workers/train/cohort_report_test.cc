// SPDX-License-Identifier: Apache-2.0
// The baseline and the subgroups of a small cohort, read from its shards.
#include "workers/train/cohort_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "tests/unit/workers/stream/small_set.h"
#include "workers/train/classifier_report.h"
#include "workers/train/cohort_reader.h"

namespace anamnesis::train {
namespace {

using ::testing::HasSubstr;

enum Phrase : uint32_t { kSilent, kFemale, kMale, kAge5, kAge7, kSignal, kNoise, kLeak };

shard::Event At(uint32_t phrase, std::optional<int64_t> day = {}) {
  return {.phrase = phrase,
          .time_us = day ? stream::kCancerTime + *day * kMicrosPerDay : shard::kStatic};
}

// Cases have the signal, but for every sixth; after the diagnosis they have what the cut hides.
stream::Cohort MakeCohort(size_t num_subjects) {
  stream::Cohort cohort;
  cohort.phrases = {{"", shard::PhraseKind::kSilent}};
  for (const char* text :
       {"FEMALE", "MALE", "AGE_decile 5", "AGE_decile 7", "Signal", "Noise", "Leak"}) {
    cohort.phrases.push_back({text, shard::PhraseKind::kText});
  }
  for (size_t i = 0; i < num_subjects; ++i) {
    shard::Subject subject;
    subject.subject_id = static_cast<int64_t>(100 + i);
    subject.is_case = i % 3 == 0;
    if (subject.is_case) {
      subject.site = "lung";
      subject.cancer_time_us = stream::kCancerTime;
    }
    if (i % 10 != 9) subject.events.push_back(At(i % 2 == 0 ? kFemale : kMale));
    subject.events.push_back(At(i % 4 < 2 ? kAge5 : kAge7));
    subject.events.push_back(At(kNoise, -90));
    if (subject.is_case && i % 6 != 3) subject.events.push_back(At(kSignal, -80));
    if (subject.is_case) subject.events.push_back(At(kLeak, 1));
    cohort.subjects.push_back(std::move(subject));
  }
  return cohort;
}

class CohortReportTest : public testing::Test {
 protected:
  CohortReportOptions Options(const stream::Cohort& cohort) {
    stream::WriteShards(cohort, folder_.File("shards"));
    CohortReportOptions options;
    options.shards_directory = folder_.File("shards");
    options.stream.rows = "documents";
    options.stream.cutoff_months = 1;
    // One split plays all three.
    options.tuning_split = options.held_out_split = "train";
    return options;
  }
  static CohortReport Make(const CohortReportOptions& options) {
    StatusOr<CohortReport> report = MakeCohortReport(options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : CohortReport{};
  }

  TemporaryFolder folder_;
};

TEST_F(CohortReportTest, TheBaselineSeesWhatLiesBeforeTheCut) {
  const Baseline baseline = Make(Options(MakeCohort(60))).baseline;
  EXPECT_EQ(baseline.reason, "");
  EXPECT_EQ(baseline.features, 6);  // all phrases but the silent one and the leak
  EXPECT_EQ(baseline.train_subjects, 60);
  ASSERT_TRUE(baseline.held_out.has_value());
  EXPECT_EQ(baseline.held_out->num_rows(), 60);
  const auto metrics = MetricsOf(*baseline.held_out);
  EXPECT_GT(metrics.at("auroc"), 0.7);  // half of the cases have the signal: ¾ of what there is
  EXPECT_LT(metrics.at("auroc"), 0.9);
}

TEST_F(CohortReportTest, TheRegularisationIsChosenOnTuningAlone) {
  CohortReportOptions options = Options(MakeCohort(60));
  EXPECT_TRUE(Make(options).baseline.chosen_on_tuning);
  options.tuning_split = "";
  const Baseline baseline = Make(options).baseline;
  EXPECT_FALSE(baseline.chosen_on_tuning);
  EXPECT_EQ(baseline.c, 1);
  EXPECT_FALSE(baseline.tuning.has_value());
  EXPECT_TRUE(baseline.held_out.has_value());
}

TEST_F(CohortReportTest, ALargeTrainSplitIsReadInSteps) {
  CohortReportOptions options = Options(MakeCohort(60));
  options.max_train_subjects = 16;
  EXPECT_EQ(Make(options).baseline.train_subjects, 15);  // every fourth
  options.max_train_events = 30;                         // of about 200
  const Baseline few = Make(options).baseline;
  EXPECT_LE(few.train_subjects, 10);
  EXPECT_EQ(few.held_out->num_rows(), 60);
}

TEST_F(CohortReportTest, SubjectsAreGroupedByWhatTheDataKnow) {
  const CohortReport report = Make(Options(MakeCohort(60)));
  ASSERT_EQ(report.groupings.size(), 3u);
  EXPECT_EQ(report.groupings[0].name, "site");
  EXPECT_EQ(report.groupings[0].of_subject.at(100), "lung");
  EXPECT_EQ(report.groupings[0].of_subject.at(101), "(control)");
  EXPECT_EQ(report.groupings[1].of_subject.at(100), "FEMALE");
  EXPECT_EQ(report.groupings[1].of_subject.count(109), 0u);  // not known
  EXPECT_EQ(report.groupings[2].of_subject.at(102), "AGE_decile 7");
}

TEST_F(CohortReportTest, WithoutDemographicsThereAreSitesAlone) {
  const CohortReport report = Make(Options(stream::MakeCohort(40, 3)));
  ASSERT_EQ(report.groupings.size(), 1u);
  EXPECT_EQ(report.groupings[0].name, "site");
}

TEST_F(CohortReportTest, ATrainSplitOfOneClassHasNoBaselineAndSaysWhy) {
  stream::Cohort cohort = MakeCohort(30);
  for (shard::Subject& subject : cohort.subjects) subject.is_case = false;
  const CohortReport report = Make(Options(cohort));
  EXPECT_THAT(report.baseline.reason, HasSubstr("class 1"));
  EXPECT_FALSE(report.baseline.held_out.has_value());
  const std::optional<metrics::ScoredSplit> none;
  metrics::Rows rows{.num_classes = 2};
  rows.Add(1, 0, std::vector<double>{0.5, 0.25});
  const std::optional<metrics::ScoredSplit> split = *metrics::ScoredSplit::Create({rows});
  const Json json = *EvaluationJson({.tuning = none, .held_out = split, .cohort = &report});
  EXPECT_EQ(json["baseline"]["reason"], report.baseline.reason);
}

TEST_F(CohortReportTest, WhatIsNotThereIsAnErrorOfTheShards) {
  CohortReportOptions options = Options(MakeCohort(30));
  options.held_out_split = "held_out";
  EXPECT_EQ(MakeCohortReport(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.num_classes = 3;
  options.stream.class_sites = {"breast", "colon"};
  EXPECT_THAT(MessageOf(MakeCohortReport(options).status()), HasSubstr("split train, subject 0"));
  options.shards_directory = folder_.File("nothing");
  EXPECT_FALSE(MakeCohortReport(options).ok());
}

TEST_F(CohortReportTest, TheEvaluationHasSubgroupsAndTheBaselineBeside) {
  const CohortReport report = Make(Options(MakeCohort(60)));
  const auto& split = report.baseline.held_out;  // the model scores as the baseline does
  const Json json = *EvaluationJson({.tuning = split, .held_out = split, .cohort = &report});
  const Json& sexes = json["held_out"]["subgroups"]["sex"];
  ASSERT_EQ(sexes.size(), 3u);
  EXPECT_EQ(sexes[0]["value"], "(not known)");
  EXPECT_EQ(sexes[1]["value"], "FEMALE");
  const Json& baseline = json["baseline"];
  EXPECT_EQ(baseline["name"], "bag_of_codes");
  EXPECT_EQ(baseline["c_chosen_on"], "tuning");
  EXPECT_EQ(baseline["held_out"]["metrics"], json["held_out"]["metrics"]);
  EXPECT_EQ(baseline["alert_threshold_chosen_on"], "tuning");
  const std::map<std::string, double> figures = FiguresOf(json);
  EXPECT_EQ(figures.size(), 2u * 2 * 4 * 3);  // model and baseline, splits, metrics, with interval
  EXPECT_EQ(figures.at("baseline_held_out_auroc"), MetricsOf(*split).at("auroc"));
  EXPECT_LT(figures.at("held_out_auroc_low"), figures.at("held_out_auroc"));
  EXPECT_TRUE(FiguresOf(Json()).empty());
}

}  // namespace
}  // namespace anamnesis::train
