// SPDX-License-Identifier: Apache-2.0
#include "workers/track/event_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "common/io/json.h"
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

TEST_F(EventWriterTest, IsReadBackByTensorBoard) {
  const std::string source = std::getenv("ANAMNESIS_SOURCE_DIR");
  if (!std::filesystem::exists(source + "/.deps/oracle")) GTEST_SKIP() << "oracle absent";
  ASSERT_TRUE(Open()->Write(1, {{"train/loss", 2.5}, {"train/learning_rate", 2e-4}}).ok());
  ASSERT_TRUE(Open()->Write(2, {{"train/loss", 1.25}, {"eval/perplexity", 12.5}}).ok());
  const std::string out = directory_ + "/out.json";
  const std::string command =
      Cat("'", source, "/tools/oracle' '", source, "/tests/unit/workers/track/read_events.py' '",
          directory_, "/run' '", out, "'");
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Json read = ReadJsonFile(out).value();
  EXPECT_EQ(read["train/loss"], Json::parse("[[1, 2.5], [2, 1.25]]"));
  EXPECT_EQ(read["eval/perplexity"], Json::parse("[[2, 12.5]]"));
  EXPECT_FLOAT_EQ(read["train/learning_rate"][0][1].get<float>(), 2e-4f);
}

}  // namespace
}  // namespace anamnesis::track
