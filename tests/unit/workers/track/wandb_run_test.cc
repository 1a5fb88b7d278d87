// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wandb_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/workers/track/wandb_support.h"

namespace anamnesis::track {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Optional;

class WandbRunTest : public testing::Test {
 protected:
  std::unique_ptr<WandbRun> Open(const WandbStart& start) {
    return WandbRun::Open(start, clock_).value();
  }

  FakeClock clock_;
  const TemporaryFolder place_;
  const std::string directory_ = place_.File("wandb");
};

TEST_F(WandbRunTest, MakesTheFolderOfAnOfflineRun) {
  const auto run = Open(SmallStart(directory_));
  EXPECT_THAT(run->folder(),
              testing::MatchesRegex(".*/wandb/offline-run-20[0-9]{6}_[0-9]{6}-0123abcd"));
  for (const char* name : {"/run-0123abcd.wandb", "/files/config.yaml",
                           "/files/wandb-metadata.json", "/files/wandb-summary.json"}) {
    EXPECT_TRUE(PathExists(run->folder() + name)) << name;
  }
  EXPECT_THAT(FindWandbRun(directory_, "0123abcd"), Optional(run->folder()));
  EXPECT_EQ(FindWandbRun(directory_, "abcd"), std::nullopt);
  EXPECT_EQ(ReadFile(run->folder() + "/files/config.yaml").value(),
            "\"training\":\n    value: {\"learning_rate\": 2.0e-05}\n");
}

TEST_F(WandbRunTest, MakesAnIdOfAnyRunId) {
  EXPECT_EQ(WandbIdOf("job-7_b"), "job-7_b");
  EXPECT_THAT(WandbIdOf("a/b"), testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(WandbIdOf(std::string(65, 'x')).size(), 16u);
}

TEST_F(WandbRunTest, LogsRowsAsTransformersDoes) {
  const auto run = Open(SmallStart(directory_));
  clock_.Advance(absl::Seconds(3));
  ASSERT_TRUE(
      run->Log({{"epoch", 0.5}, {"learning_rate", 2e-5}, {"loss", 1.5}, {"step", 10}}).ok());
  ASSERT_TRUE(run->Log({{"epoch", 0.5}, {"eval_loss", "nan"}, {"step", 10}}).ok());
  const std::vector<Json> history = HistoryIn(WandbFileOf(run->folder()));
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0]["train/loss"], "1.5");
  EXPECT_EQ(history[0]["train/learning_rate"], "2e-05");
  EXPECT_EQ(history[0]["train/global_step"], "10");
  EXPECT_EQ(history[0]["_runtime"], "3.0");
  EXPECT_EQ(history[1]["eval/loss"], "NaN");
  EXPECT_EQ(history[1]["_step"], "1");
  EXPECT_EQ(ItemsIn(WandbFileOf(run->folder()), 3), history);  // the summary follows the history
}

TEST_F(WandbRunTest, EndsWithTheSummaryOfTheWholeRun) {
  const auto run = Open(SmallStart(directory_));
  ASSERT_TRUE(run->Log(LossRow(1, 2.0)).ok());
  ASSERT_TRUE(run->Log({{"epoch", 1.0}, {"step", 1}, {"train_loss", 2.0}, {"total_flos", 0}}).ok());
  ASSERT_TRUE(run->Finish(0).ok());
  EXPECT_EQ(ItemsIn(WandbFileOf(run->folder()), 3)[1],
            (Json{{"total_flos", "0.0"}, {"train_loss", "2.0"}}));
  EXPECT_FALSE(HistoryIn(WandbFileOf(run->folder()))[1].contains("train/train_loss"));
  const Json summary = ReadJsonFile(run->folder() + "/files/wandb-summary.json").value();
  EXPECT_EQ(summary["train_loss"], 2.0);
  EXPECT_EQ(summary["train/global_step"], 1);
  EXPECT_EQ(ItemsIn(WandbFileOf(run->folder()), 18).size(), 1u);  // the exit record
}

TEST_F(WandbRunTest, ResumesWithNoLineLostOrDoubled) {
  std::unique_ptr<WandbRun> first = Open(SmallStart(directory_));
  for (const int64_t step : {1, 2, 3, 4}) {  // the checkpoint is at 2; 3 and 4 are logged again
    clock_.Advance(absl::Seconds(10));
    ASSERT_TRUE(first->Log(LossRow(step, 9.0)).ok());
  }
  const std::string path = WandbFileOf(first->folder());
  const std::vector<std::string> times = Column(path, "_timestamp");
  std::filesystem::resize_file(path, FileSize(path).value() - 3);  // killed in the middle of 4

  WandbStart start = SmallStart(directory_, /*attempt=*/2);
  start.log_history = {LossRow(1, 9.0), LossRow(2, 9.0)};
  clock_.Advance(absl::Hours(1));
  const auto second = Open(start);
  EXPECT_EQ(second->folder(), first->folder());
  ASSERT_TRUE(second->Log(LossRow(3, 8.0)).ok());
  EXPECT_THAT(Column(path, "train/global_step"), ElementsAre("1", "2", "3"));
  EXPECT_THAT(Column(path, "_step"), ElementsAre("0", "1", "2"));
  EXPECT_THAT(Column(path, "_runtime"), ElementsAre("10.0", "20.0", "20.0"));
  EXPECT_EQ(Column(path, "_timestamp")[1], times[1]);
}

TEST_F(WandbRunTest, RestoresRowsThatTheFileLost) {
  const std::string path = WandbFileOf(Open(SmallStart(directory_))->folder());
  ASSERT_TRUE(WriteFileDurably(path, "damaged").ok());
  WandbStart start = SmallStart(directory_, 2);
  start.log_history = {LossRow(1, 9.0), LossRow(2, 8.0)};
  Open(start);
  EXPECT_THAT(Column(path, "train/loss"), ElementsAre("9.0", "8.0"));
}

TEST_F(WandbRunTest, AFencedAttemptNeitherWritesNorTakesTheFileBack) {
  const auto first = Open(SmallStart(directory_, 1));
  const auto second = Open(SmallStart(directory_, 2));
  ASSERT_TRUE(second->Log(LossRow(1, 1.0)).ok());
  EXPECT_EQ(first->Log(LossRow(1, 7.0)).code(), absl::StatusCode::kNotFound);
  const Status late = WandbRun::Open(SmallStart(directory_, 1), clock_).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(MessageOf(late), HasSubstr("attempt 2 writes here, this is 1"));
  EXPECT_THAT(Column(WandbFileOf(first->folder()), "train/loss"), ElementsAre("1.0"));
}

TEST_F(WandbRunTest, ForgetsThatAnEarlierAttemptWasSynced) {
  const std::string path = WandbFileOf(Open(SmallStart(directory_))->folder());
  ASSERT_TRUE(WriteFileDurably(path + ".synced", "").ok());
  Open(SmallStart(directory_, 2));
  EXPECT_FALSE(PathExists(path + ".synced"));
}

}  // namespace
}  // namespace anamnesis::track
