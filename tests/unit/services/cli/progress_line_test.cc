// SPDX-License-Identifier: Apache-2.0
#include "services/cli/progress_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "services/cli/follow.h"
#include "services/cli/job_view.h"
#include "tests/unit/services/cli/made_job.h"

namespace anamnesis::cli {
namespace {

using ::testing::HasSubstr;

TEST(ProgressLine, SaysWhereAJobIs) {
  EXPECT_EQ(ProgressLine(MadeJob(), 0, false),
            "jobs/17 running  training  step 120/400  loss 2.3411  2,345 tokens/s  eta 4:05");
  EXPECT_EQ(ProgressLine(MadeJob(), 10, false),
            "jobs/17 running  training  ▕███░░░░░░░▏  step 120/400  loss 2.3411  2,345 tokens/s  "
            "eta 4:05");
  EXPECT_THAT(ProgressLine(MadeJob(), 10, true), HasSubstr("  [###.......]  "));
}

TEST(ProgressLine, ExplainsWaitingAndTheEnd) {
  v1::Job job = MadeJob();
  job.set_state(v1::JOB_STATE_FAILED);
  job.set_message("rank 1: out of memory");
  job.add_attempts();
  EXPECT_EQ(ProgressLine(job, 0, false),
            "jobs/17 failed  attempt 2  step 120/400  loss 2.3411  rank 1: out of memory");
  v1::Job queued;
  queued.set_name("jobs/18");
  queued.set_state(v1::JOB_STATE_QUEUED);
  queued.set_message("waits for 2 slots");
  EXPECT_EQ(ProgressLine(queued, 0, false), "jobs/18 queued  waits for 2 slots");
}

TEST(ProgressLine, SaysHowFarAPreparationIs) {
  v1::Job job;
  job.set_name("jobs/18");
  job.set_state(v1::JOB_STATE_PREPARING);
  v1::Progress& progress = *job.mutable_progress();
  progress.set_phase("shards");
  EXPECT_EQ(ProgressLine(job, 10, false), "jobs/18 preparing  shards");
  progress.set_phase_done(459);
  progress.set_phase_total(1000);
  progress.set_eta_seconds(12);
  EXPECT_EQ(ProgressLine(job, 10, false), "jobs/18 preparing  shards 45 %  eta 0:12");
  EXPECT_EQ(ProgressText(job), "shards 45 %");
}

TEST(SummaryLine, CountsStates) {
  v1::Job queued;
  queued.set_state(v1::JOB_STATE_QUEUED);
  EXPECT_EQ(SummaryLine({{"a", MadeJob()}, {"b", queued}, {"c", queued}}),
            "3 jobs: 2 queued, 1 running  step 120/400");
}

TEST(ProgressDisplay, PrintsPlainLinesForChangesAndEveryFewSeconds) {
  std::ostringstream out;
  std::map<std::string, v1::Job> jobs = {{"jobs/17", MadeJob()}};
  v1::Job& job = jobs.begin()->second;
  {
    ProgressDisplay display(out, {});
    for (int second = 0; second < 12; ++second) {
      job.mutable_progress()->set_step(120 + second);
      display.Update(jobs, "jobs/17", MadeNow() + absl::Seconds(second));
    }
    job.set_state(v1::JOB_STATE_SUCCEEDED);
    display.Update(jobs, "jobs/17", MadeNow() + absl::Seconds(12));
    display.Update(jobs, "", MadeNow() + absl::Seconds(30));
  }
  EXPECT_EQ(out.str(),
            "jobs/17 running  training  step 120/400  loss 2.3411  2,345 tokens/s  eta 4:05\n"
            "jobs/17 running  training  step 125/400  loss 2.3411  2,345 tokens/s  eta 4:05\n"
            "jobs/17 running  training  step 130/400  loss 2.3411  2,345 tokens/s  eta 4:05\n"
            "jobs/17 succeeded  step 131/400  loss 2.3411  training on 2 ranks\n");
}

TEST(ProgressDisplay, DrawsOneLineAnewOnATerminal) {
  std::ostringstream out;
  std::map<std::string, v1::Job> jobs = {{"jobs/17", MadeJob()}};
  {
    ProgressDisplay display(out, {.draw = true, .columns = [] { return size_t{40}; }});
    display.Update(jobs, "jobs/17", MadeNow());
    display.Update(jobs, "", MadeNow());  // the same: not drawn again
    display.Print("saved checkpoint-100");
  }
  const std::string line = "jobs/17 running  training  step 120/40…";
  EXPECT_EQ(out.str(), "\r\033[K" + line + "\r\033[Ksaved checkpoint-100\n" + line + "\n");
}

TEST(ProgressDisplay, IsSilentWhenQuiet) {
  std::ostringstream out;
  ProgressDisplay display(out, {.draw = true, .quiet = true});
  display.Update({{"jobs/17", MadeJob()}}, "jobs/17", MadeNow());
  display.Print("x");
  EXPECT_EQ(out.str(), "");
}

TEST(OutcomeCode, IsThatOfTheWorstJob) {
  const auto code = [](std::initializer_list<v1::JobState> states) {
    std::map<std::string, v1::Job> jobs;
    for (const v1::JobState state : states) jobs[std::to_string(jobs.size())].set_state(state);
    return OutcomeCode(jobs);
  };
  EXPECT_EQ(code({v1::JOB_STATE_SUCCEEDED}), 0);
  EXPECT_EQ(code({v1::JOB_STATE_CANCELLED, v1::JOB_STATE_SUCCEEDED}), 9);
  EXPECT_EQ(code({v1::JOB_STATE_CANCELLED, v1::JOB_STATE_FAILED}), 8);
  EXPECT_EQ(code({v1::JOB_STATE_EXPIRED}), 8);
  EXPECT_EQ(code({v1::JOB_STATE_REJECTED}), 8);
}

}  // namespace
}  // namespace anamnesis::cli
