// SPDX-License-Identifier: Apache-2.0
#include "workers/track/trackers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/fake_clock.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/workers/track/wandb_support.h"

namespace anamnesis::track {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TrackersTest : public testing::Test {
 protected:
  TrackersStart Start(const std::string& output) const {
    TrackersStart start;
    start.tensorboard_directory = output + "/runs/x";
    start.wandb = SmallStart(output + "/wandb");
    return start;
  }
  Trackers Open(const std::string& output) {
    return Trackers(Start(output), clock_,
                    [this](const std::string& text) { warnings_.push_back(text); });
  }
  void LogSteps(Trackers& trackers, int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) trackers.Log(LossRow(step, 1.0));
  }
  static size_t LinesIn(const std::string& output) {
    return HistoryIn(WandbFileOf(*FindWandbRun(output + "/wandb", "0123abcd"))).size();
  }

  FakeClock clock_;
  const TemporaryFolder place_;
  std::vector<std::string> warnings_;
};

TEST_F(TrackersTest, LogToBoth) {
  Trackers trackers = Open(place_.path());
  LogSteps(trackers, 1, 3);
  trackers.Finish();
  EXPECT_EQ(LinesIn(place_.path()), 3u);
  EXPECT_EQ(LastStepsIn(place_.File("runs/x")).value().at("train/loss"), 3);
  EXPECT_EQ(trackers.num_failures(), 0);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(TrackersTest, GoOnWithoutAnUnwritableFolderAndWarnOnceEach) {
  const std::string output = place_.File("out");
  std::filesystem::create_directory(output);
  std::filesystem::permissions(output, std::filesystem::perms::owner_read);
  const NotRoot not_root;
  Trackers trackers = Open(output);
  LogSteps(trackers, 1, 5);
  trackers.Finish();
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("TensorBoard: "), HasSubstr(output)),
                                     AllOf(HasSubstr("W&B: "), HasSubstr(output))));
  EXPECT_EQ(trackers.num_failures(), 12);  // two folders, five rows each
  EXPECT_THAT(trackers.first_failure(), HasSubstr("TensorBoard: "));
}

TEST_F(TrackersTest, GoOnWithoutAFolderThatIsRemoved) {
  Trackers trackers = Open(place_.path());
  LogSteps(trackers, 1, 1);
  std::filesystem::remove_all(place_.File("runs"));
  std::filesystem::remove_all(place_.File("wandb"));
  LogSteps(trackers, 2, 4);
  trackers.Finish();
  EXPECT_EQ(warnings_.size(), 2u);
  EXPECT_GE(trackers.num_failures(), 6);
}

TEST_F(TrackersTest, LoseNothingOfAFullDiskThatGetsRoomAgain) {
  Trackers trackers = Open(place_.path());
  {
    const FileSizeLimit limit(4096);
    LogSteps(trackers, 1, 100);
  }
  EXPECT_EQ(warnings_.size(), 2u);
  EXPECT_THAT(trackers.first_failure(), HasSubstr("the disk is full"));
  EXPECT_GT(trackers.num_failures(), 100);
  LogSteps(trackers, 101, 101);
  trackers.Finish();
  EXPECT_EQ(LinesIn(place_.path()), 101u);
  EXPECT_EQ(LastStepsIn(place_.File("runs/x")).value().at("train/loss"), 101);
}

TEST_F(TrackersTest, SurviveARealDiskThatIsFull) {
  const SmallFileSystem disk(place_.path());
  if (!disk.is_mounted()) GTEST_SKIP() << "needs root to mount a small file system";
  Trackers trackers = Open(place_.path());
  LogSteps(trackers, 1, 200);
  ASSERT_GT(trackers.num_failures(), 0);
  const size_t lines = LinesIn(place_.path());  // a torn end is passed over
  EXPECT_GT(lines, 10u);
  EXPECT_LT(lines, 200u);
  trackers.Finish();
  EXPECT_EQ(warnings_.size(), 2u);
}

TEST_F(TrackersTest, AreOffWhereNothingIsAskedFor) {
  Trackers trackers({}, clock_, [](const std::string&) { FAIL(); });
  LogSteps(trackers, 1, 2);
  trackers.Finish();
  EXPECT_EQ(trackers.num_failures(), 0);
}

}  // namespace
}  // namespace anamnesis::track
