// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>

#include "tests/support/temporary_folder.h"
#include "workers/agent/summary.h"

namespace anamnesis::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

absl::Duration FourSeconds() { return absl::Seconds(4); }

class ProgressTest : public ::testing::Test {
 protected:
  ProgressTest() {
    out_ = std::tmpfile();
    counter_.emplace(*StepCounter::Create(marker_, 1));
    progress_.emplace(out_, 4, 2, 2, &*counter_, &FourSeconds);
  }
  ~ProgressTest() override { std::fclose(out_); }
  void Step(int rank, int64_t step, double loss) {
    progress_->OnStep(rank, {.step = step,
                             .loss = loss,
                             .learning_rate = 1e-3,
                             .tokens = 50,
                             .global_tokens = 100,
                             .seconds = 0.5,
                             .cpu_seconds = 0.25});
  }
  std::string Text() {
    std::rewind(out_);
    std::string text(1 << 16, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), out_));
    return text;
  }

  const TemporaryFolder folder_;
  const std::string marker_ = folder_.path();
  std::FILE* out_ = nullptr;
  std::optional<StepCounter> counter_;
  std::optional<Progress> progress_;
};

TEST_F(ProgressTest, WritesOneLineALoggingWindow) {
  for (int64_t step = 1; step <= 4; ++step) {
    Step(1, step, 9);
    Step(0, step, static_cast<double>(5 - step));
  }
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("first step after 4.0 s\n"));
  EXPECT_THAT(text, HasSubstr("step 2/4  loss 3.5000  lr 0.001  200 tokens/s  eta 0:01\n"));
  EXPECT_THAT(text, HasSubstr("step 4/4  loss 1.5000"));
  EXPECT_THAT(text, Not(HasSubstr("step 3/4")));
  EXPECT_EQ(progress_->figures().first_loss, 4);
  EXPECT_EQ(progress_->figures().ranks[1].tokens, 200);
  EXPECT_EQ(progress_->figures().ranks[1].cpu_seconds, 1.0);
  EXPECT_EQ(*StepsExecuted(marker_), 4);
}

TEST_F(ProgressTest, SaysAnEvaluationInTheFiguresOfItsTask) {
  progress_->OnEval(0, {.step = 2, .loss = 0.5, .labels = 8, .seconds = 1.0});
  progress_->OnEval(0, {.step = 4,
                        .loss = 0.5,
                        .labels = 8,
                        .seconds = 1.0,
                        .metrics = {{"auroc", 0.75}, {"accuracy", 0.5}, {"brier", 0.2}}});
  const std::string text = Text();
  EXPECT_THAT(text,
              HasSubstr("step 2/4  loss on tuning 0.5000  perplexity 1.65  8 labels in 1.0 s\n"));
  EXPECT_THAT(text, HasSubstr("step 4/4  loss on tuning 0.5000  auroc 0.750  accuracy 0.500  "
                              "8 labels in 1.0 s\n"));
}

TEST_F(ProgressTest, SaysWhyBitsAreNotGuaranteed) {
  progress_->OnStarted(0, {{"kind", "started"}, {"bits_not_guaranteed", "another CPU model"}});
  EXPECT_THAT(Text(), HasSubstr("bits_not_guaranteed: another CPU model\n"));
  EXPECT_EQ(progress_->figures().bits_not_guaranteed, "another CPU model");
}

TEST_F(ProgressTest, PutsALossThatIsNoNumberIntoTheSummaryAsNull) {
  Step(0, 2, std::nan(""));
  gang::Outcome outcome;
  outcome.status = Unavailable("rank 1 was killed");
  DataStage data;
  SummaryInput input{.figures = progress_->figures(), .outcome = outcome, .data = data};
  input.advice = "the cause may be gone";
  input.resume_command = "anamnesis run x.yaml --resume";
  const Json json = SummaryJson(input);
  EXPECT_TRUE(json["last_loss"].is_null());
  EXPECT_EQ(json["status"], "failed");
  EXPECT_THAT(SummaryText(input), HasSubstr("continue:  anamnesis run x.yaml --resume"));
}

TEST(ClockText, ReadsAsATime) {
  EXPECT_EQ(ClockText(5), "0:05");
  EXPECT_EQ(ClockText(65.6), "1:06");
  EXPECT_EQ(ClockText(3723), "1:02:03");
}

}  // namespace
}  // namespace anamnesis::agent
