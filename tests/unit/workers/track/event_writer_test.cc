// SPDX-License-Identifier: Apache-2.0
#include "workers/track/event_writer.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace anamnesis::track {
namespace {

class EventWriterTest : public testing::Test {
 protected:
  std::unique_ptr<EventWriter> Open() {
    return EventWriter::Open(directory_ + "/run", LastStepsIn(directory_ + "/run").value(),
                             Clock::System())
        .value();
  }

  const TemporaryFolder folder_;
  const std::string directory_ = folder_.path();
};

TEST_F(EventWriterTest, StartsAFileWithTheVersionRecord) {
  const auto writer = Open();
  const std::string content = ReadFile(writer->path()).value();
  ASSERT_EQ(content.size(), 8u + 4u + 24u + 4u);
  EXPECT_EQ(content.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_NE(content.find("brain.Event:2"), std::string::npos);
}

TEST_F(EventWriterTest, KnowsTheLastStepOfEachTag) {
  const auto writer = Open();
  ASSERT_TRUE(writer->Write(3, {{"train/loss", 2.5}, {"train/epoch", 0.5}}).ok());
  ASSERT_TRUE(writer->Write(7, {{"train/loss", 2.0}}).ok());
  const LastSteps steps = LastStepsIn(directory_ + "/run").value();
  EXPECT_EQ(steps, (LastSteps{{"train/epoch", 3}, {"train/loss", 7}}));
}

TEST_F(EventWriterTest, SkipsScalarsThatAnEarlierFileHolds) {
  ASSERT_TRUE(Open()->Write(5, {{"train/loss", 1.0}}).ok());
  const auto resumed = Open();
  const auto before = FileSize(resumed->path()).value();
  ASSERT_TRUE(resumed->Write(5, {{"train/loss", 9.0}}).ok());
  EXPECT_EQ(FileSize(resumed->path()).value(), before);
  ASSERT_TRUE(resumed->Write(5, {{"eval/loss", 3.0}}).ok());
  EXPECT_GT(FileSize(resumed->path()).value(), before);
}

TEST_F(EventWriterTest, IgnoresATornRecordAtTheEnd) {
  const auto writer = Open();
  ASSERT_TRUE(writer->Write(4, {{"train/loss", 1.0}}).ok());
  ASSERT_TRUE(writer->Write(8, {{"train/loss", 1.0}}).ok());
  std::filesystem::resize_file(writer->path(), FileSize(writer->path()).value() - 3);
  EXPECT_EQ(LastStepsIn(directory_ + "/run").value().at("train/loss"), 4);
}

TEST_F(EventWriterTest, WritesATextOnce) {
  ASSERT_TRUE(Open()->WriteText("args", "{}").ok());
  const auto resumed = Open();
  const auto before = FileSize(resumed->path()).value();
  ASSERT_TRUE(resumed->WriteText("args", "{}").ok());
  EXPECT_EQ(FileSize(resumed->path()).value(), before);
}

TEST_F(EventWriterTest, HasEachStepOfATagOnce) {
  const auto writer = Open();
  ASSERT_TRUE(writer->Write(5, {{"train/epoch", 1.0}}).ok());
  const auto before = FileSize(writer->path()).value();
  ASSERT_TRUE(writer->Write(5, {{"train/epoch", 1.0}}).ok());
  EXPECT_EQ(FileSize(writer->path()).value(), before);
}

}  // namespace
}  // namespace anamnesis::track
