// SPDX-License-Identifier: Apache-2.0
// A job made by hand as JSON, as a row, as a page; metric points as lines.
#include "services/cli/job_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/cli/describe_text.h"
#include "services/cli/metric_text.h"
#include "services/cli/text.h"
#include "tests/unit/common/config/config_text.h"
#include "tests/unit/services/cli/made_job.h"

namespace anamnesis::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(JobJson, HasTheKeysOfTheContract) {
  const OrderedJson json = JobJson(MadeJob(), false);
  EXPECT_EQ(json["name"], "jobs/17");
  EXPECT_EQ(json["state"], "running");
  EXPECT_EQ(json["reason"], "first_step");
  EXPECT_EQ(json["task"], "pretrain_llm");
  const OrderedJson& progress = json["progress"];
  EXPECT_EQ(progress["step"], 120);
  EXPECT_EQ(progress["total_steps"], 400);
  EXPECT_EQ(progress["epoch"], 0.3);
  EXPECT_EQ(progress["tokens"], 1234567);
  EXPECT_EQ(progress["eta_seconds"], 245);
  ASSERT_EQ(json["attempts"].size(), 1u);
  EXPECT_EQ(json["attempts"][0]["state"], "running");
  EXPECT_EQ(json["attempts"][0]["slots"], OrderedJson({0, 1}));
  EXPECT_EQ(json["steps_executed"], 130);
  EXPECT_EQ(json["latest_checkpoint"]["step"], 100);
  EXPECT_EQ(json["latest_checkpoint"]["path"], "/out/a/checkpoint-100");
  EXPECT_EQ(json["latest_checkpoint"]["sha256"], "0123456789abcdef");
  EXPECT_EQ(json["metrics"]["loss"], 2.34113);
  EXPECT_EQ(json["output_dir"], "/out/a");
  EXPECT_EQ(json["create_time"], "2026-03-01T11:50:00+00:00");
  EXPECT_FALSE(json.contains("spec"));
}

TEST(JobJson, SaysNullForWhatIsNotKnown) {
  v1::Job job;
  job.set_name("jobs/1");
  job.set_state(v1::JOB_STATE_QUEUED);
  const OrderedJson json = JobJson(job, true);
  EXPECT_TRUE(json["progress"]["eta_seconds"].is_null());
  EXPECT_TRUE(json["latest_checkpoint"].is_null());
  EXPECT_TRUE(json["create_time"].is_null());
  EXPECT_TRUE(json["resolved_spec"].is_null());
  EXPECT_EQ(json["attempts"], OrderedJson::array());
  EXPECT_EQ(json["metrics"], OrderedJson::object());
}

TEST(JobJson, TheFullViewHasSpecAndTransitions) {
  v1::Job job = MadeJob();
  job.set_resolved_spec_json(R"({"training":{"epochs":2}})");
  v1::Transition& transition = *job.add_transitions();
  transition.set_to(v1::JOB_STATE_QUEUED);
  transition.set_reason(v1::REASON_SUBMITTED);
  const OrderedJson json = JobJson(job, true);
  EXPECT_EQ(json["spec"]["config_yaml"], "model:\n");
  EXPECT_EQ(json["spec"]["overrides"], OrderedJson({"training.epochs=2"}));
  EXPECT_EQ(json["resolved_spec"]["training"]["epochs"], 2);
  EXPECT_EQ(json["transitions"][0]["to"], "queued");
  EXPECT_EQ(json["transitions"][0]["reason"], "submitted");
}

TEST(Names, OfANewerCoordinatorAreShownAsNumbers) {
  EXPECT_EQ(StateName(37), "unknown_37");
  EXPECT_EQ(ReasonName(99), "unknown_99");
  EXPECT_EQ(StateFromName("running"), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(StateFromName("unspecified"), 0);
  EXPECT_EQ(StateNames().size(), 15u);
  EXPECT_TRUE(HasEnded(v1::JOB_STATE_REJECTED));
  EXPECT_FALSE(HasEnded(v1::JOB_STATE_RESIZING));
}

TEST(JobRows, MakeTheTable) {
  v1::Job queued;
  queued.set_name("jobs/18");
  queued.set_state(v1::JOB_STATE_QUEUED);
  queued.mutable_spec()->set_task("prepare");
  EXPECT_EQ(TableText(JobRows({queued, MadeJob()}, false, MadeNow())),
            "NAME     STATE    TASK          RANKS  PROGRESS       LOSS    AGE  DISPLAY_NAME\n"
            "jobs/18  queued   prepare       0      -              -       -\n"
            "jobs/17  running  pretrain_llm  2      120/400 (30%)  2.3411  10m  first light\n");
}

TEST(JobRows, WideHasMore) {
  const Rows rows = JobRows({MadeJob()}, true, MadeNow());
  ASSERT_EQ(rows[0].size(), rows[1].size());
  EXPECT_THAT(rows[1], ElementsAre("jobs/17", "running", "pretrain_llm", "2", "120/400 (30%)",
                                   "2.3411", "10m", "first_step", "2,345", "4:05", "1", "default",
                                   "0", "-", "/out/a", "first light"));
}

TEST(DescribeText, TellsAllAboutAJob) {
  v1::Job job = MadeJob();
  job.set_resolved_spec_json(R"({"training":{"epochs":2}})");
  v1::Transition& transition = *job.add_transitions();
  SetTime(MadeNow() - absl::Minutes(10), transition.mutable_time());
  transition.set_to(v1::JOB_STATE_QUEUED);
  transition.set_reason(v1::REASON_SUBMITTED);
  transition.set_actor("user:ada");
  const std::string page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, AllOf(HasSubstr("Name:          jobs/17\n"),
                          HasSubstr("State:         running (first_step)\n"),
                          HasSubstr("Explanation:   training on 2 ranks\n"),
                          HasSubstr("Configuration: job.yaml in /w\n"),
                          HasSubstr("  --set:       training.epochs=2\n"),
                          HasSubstr("Created:       2026-03-01 11:50:00 (10m ago)\n"),
                          HasSubstr("training, 120/400 (30%), epoch 0.3000, 1,234,567 tokens, "
                                    "2,345 tokens/s, eta 4:05\n"),
                          HasSubstr("learning_rate 2.000e-04, loss 2.3411\n")));
  EXPECT_THAT(page, AllOf(HasSubstr("\nAttempts:\n  EPOCH  STATE"), HasSubstr("1-120"),
                          HasSubstr("9:00"), HasSubstr("  2026-03-01 11:50:00  -     queued"),
                          HasSubstr("\nResolved configuration:\n  training:\n    epochs: 2\n"),
                          Not(HasSubstr("Checkpoints:"))));
}

TEST(DescribeText, HasWhatAClassifierReachedBesideTheBaseline) {
  v1::Job job = MadeJob();
  auto& evaluation = *job.mutable_evaluation();
  evaluation["held_out_auroc"] = 0.75;
  evaluation["baseline_held_out_auroc"] = 0.5;
  const std::string page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, AllOf(HasSubstr("On held_out:   auroc 0.7500, bag of codes 0.5000\n"),
                          Not(HasSubstr("On tuning"))));
  EXPECT_EQ(JobJson(job, false)["evaluation"]["held_out_auroc"], 0.75);
}

TEST(DescribeText, AdvisesByWhatTheRunHasShown) {
  v1::Job job = MadeJob();
  job.mutable_spec()->set_config_yaml(config::kSmall);
  v1::DataFacts& data = *job.mutable_data();
  data.set_medical_coverage(0.59);
  data.set_lab_coverage(0.6);
  data.set_truncated_token_share(0.31);
  job.mutable_progress()->set_train_seconds(79);
  job.mutable_progress()->set_evaluation_seconds(21);
  std::string page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, AllOf(HasSubstr("data.medical_lookup_filepath: "),
                          Not(HasSubstr("data.lab_lookup_filepath: ")),
                          HasSubstr(" of the tokens are cut off at "),
                          HasSubstr(" of the time is evaluation")));
  data.set_medical_coverage(0.6);
  data.set_truncated_token_share(0.3);
  job.mutable_progress()->set_train_seconds(80);
  job.mutable_progress()->set_evaluation_seconds(20);
  page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, AllOf(Not(HasSubstr("lookup_filepath: ")), Not(HasSubstr("cut off at")),
                          Not(HasSubstr("is evaluation"))));
  page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone(), {1, 1.1, 1});
  EXPECT_THAT(page, HasSubstr("of 3 evaluations"));
  const OrderedJson json = JobJson(job, false);
  EXPECT_EQ(json["data"]["medical_coverage"], 0.6);
  EXPECT_EQ(json["progress"]["evaluation_seconds"], 20);
}

TEST(DescribeText, SaysHowTheCurvesAreSent) {
  v1::Job job = MadeJob();
  EXPECT_THAT(DescribeText(job, {}, MadeNow(), absl::UTCTimeZone()), Not(HasSubstr("W&B")));
  EXPECT_TRUE(JobJson(job, false)["wandb_folder"].is_null());
  job.set_wandb_folder("/out/it's/wandb");
  EXPECT_THAT(DescribeText(job, {}, MadeNow(), absl::UTCTimeZone()),
              HasSubstr("W&B:           wandb sync '/out/it'\\''s/wandb'\n"));
  EXPECT_EQ(JobJson(job, false)["wandb_folder"], "/out/it's/wandb");
}

TEST(DescribeText, NamesTheJobThatItFollowsAndWhatItWaitsFor) {
  v1::Job job = MadeJob();
  job.set_state(v1::JOB_STATE_QUEUED);
  job.mutable_spec()->set_after("jobs/16");
  job.set_explanation("waits for jobs/16, which is running");
  const std::string page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, AllOf(HasSubstr("After:         jobs/16\n"),
                          HasSubstr("Explanation:   waits for jobs/16, which is running\n")));
  EXPECT_EQ(JobJson(job, true)["after"], "jobs/16");
  EXPECT_EQ(JobJson(job, true)["explanation"], "waits for jobs/16, which is running");
  EXPECT_TRUE(JobJson(MadeJob(), false)["after"].is_null());
}

TEST(DescribeText, AdvisesByWhatIsKnownOfTheJob) {
  v1::Job job = MadeJob();
  job.mutable_spec()->set_config_yaml(config::kSmall);
  job.mutable_spec()->add_overrides("training.warmup_steps=400");
  job.add_notes("data.lab_lookup_filepath is not set");
  job.add_notes("tip: data.cutoff_months: as it was told; then");
  std::string page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, AllOf(HasSubstr("Note:          data.lab_lookup_filepath is not set\n"),
                          HasSubstr("\nAdvice:\n  tip: data.cutoff_months: as it was told; then\n"),
                          HasSubstr("  warning: training.warmup_steps: 400 warm-up steps of 400"),
                          Not(HasSubstr("the memory did not suffice"))));
  job.set_reason(v1::REASON_OUT_OF_MEMORY);
  page = DescribeText(job, {}, MadeNow(), absl::UTCTimeZone());
  EXPECT_THAT(page, HasSubstr("the memory did not suffice; try, one after the other: "));
}

TEST(MetricLine, HasFixedColumns) {
  v1::MetricPoint point;
  point.set_step(120);
  point.set_epoch(1);
  (*point.mutable_values())["loss"] = 2.34113;
  (*point.mutable_values())["learning_rate"] = 0.0002;
  EXPECT_EQ(MetricHead(DefaultMetrics()),
            "     STEP  EPOCH         LOSS           LR     TOKENS/S  TUNING_LOSS");
  EXPECT_EQ(MetricLine(point, DefaultMetrics()),
            "      120      1       2.3411    2.000e-04            -            -");
  EXPECT_TRUE(HasAny(point, {"grad_norm", "loss"}));
  EXPECT_FALSE(HasAny(point, {"grad_norm"}));
}

}  // namespace
}  // namespace anamnesis::cli
