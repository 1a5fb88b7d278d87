// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/output_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace anamnesis::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class OutputDirectoryTest : public ::testing::Test {
 protected:
  void Put(const std::string& name) const {
    const fs::path path = fs::path(out_) / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << "x";
  }
  bool Has(const std::string& name) const { return fs::exists(fs::path(out_) / name); }
  StatusOr<OutputDirectory> Open(bool overwrite, bool resume) const {
    return OpenOutput(out_, {.overwrite = overwrite, .resume = resume});
  }

  const TemporaryFolder folder_;
  const std::string root_ = folder_.path();
  const std::string out_ = folder_.File("out");
};

TEST(ChooseOutputAction, FollowsTheTable) {
  struct Row {
    OutputState state;
    bool overwrite, resume;
    std::optional<OutputAction> action;  // nothing: refused
  };
  using S = OutputState;
  using A = OutputAction;
  const Row rows[] = {
      {S::kEmpty, false, false, A::kStart},      {S::kEmpty, true, false, A::kStart},
      {S::kEmpty, false, true, A::kStart},       {S::kEmpty, true, true, A::kStart},
      {S::kOurs, false, false, std::nullopt},    {S::kOurs, true, false, A::kReplace},
      {S::kOurs, false, true, A::kResume},       {S::kOurs, true, true, A::kResume},
      {S::kForeign, false, false, std::nullopt}, {S::kForeign, true, false, A::kMoveAside},
      {S::kForeign, false, true, std::nullopt},  {S::kForeign, true, true, std::nullopt},
  };
  for (const Row& row : rows) {
    const StatusOr<OutputAction> action =
        ChooseOutputAction("d", row.state, row.overwrite, row.resume);
    EXPECT_EQ(action.ok(), row.action.has_value());
    if (action.ok()) {
      EXPECT_EQ(*action, *row.action);
    } else {
      EXPECT_EQ(ExitCodeOf(action.status()), 5);
    }
  }
}

TEST(ChooseOutputAction, NamesTheWaysOutOfAConflict) {
  const Status status = ChooseOutputAction("d", OutputState::kOurs, false, false).status();
  EXPECT_THAT(MessageOf(status), HasSubstr("--resume"));
  EXPECT_THAT(MessageOf(status), HasSubstr("training.overwrite_output_dir: true"));
}

TEST_F(OutputDirectoryTest, StartsWhereNothingIs) {
  const StatusOr<OutputDirectory> output = Open(false, false);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->action, OutputAction::kStart);
  EXPECT_TRUE(Has(".anamnesis/lock"));
}

TEST_F(OutputDirectoryTest, ChangesNothingWhereItRefuses) {
  Put("thesis.docx");
  EXPECT_EQ(ExitCodeOf(Open(false, false).status()), 5);
  EXPECT_EQ(ExitCodeOf(Open(false, true).status()), 5);
  EXPECT_FALSE(Has(".anamnesis"));
  EXPECT_TRUE(Has("thesis.docx"));
}

TEST_F(OutputDirectoryTest, MovesAForeignFolderAsideAndDeletesNothing) {
  Put("thesis.docx");
  fs::create_directories(out_ + ".old-1");
  const StatusOr<OutputDirectory> output = Open(true, false);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->moved_to, out_ + ".old-2");
  EXPECT_TRUE(fs::exists(out_ + ".old-2/thesis.docx"));
  EXPECT_FALSE(Has("thesis.docx"));
}

TEST_F(OutputDirectoryTest, ReplacesOnlyWhatARunMade) {
  for (const char* name :
       {".anamnesis/run.json", ".anamnesis/steps-1", "checkpoint-3/manifest.json", "final_model/x",
        "runs/e", ".staging-checkpoint-4/y", "notes.txt"}) {
    Put(name);
  }
  ASSERT_TRUE(Open(true, false).ok());
  for (const char* gone : {".anamnesis/run.json", ".anamnesis/steps-1", "checkpoint-3",
                           "final_model", "runs", ".staging-checkpoint-4"}) {
    EXPECT_FALSE(Has(gone)) << gone;
  }
  EXPECT_TRUE(Has("notes.txt"));
}

TEST_F(OutputDirectoryTest, RefusesBesideALiveGangWhateverTheOptions) {
  const StatusOr<OutputDirectory> first = Open(false, false);
  ASSERT_TRUE(first.ok());
  Put(".anamnesis/run.json");
  for (const bool overwrite : {false, true}) {
    for (const bool resume : {false, true}) {
      const Status status = Open(overwrite, resume).status();
      EXPECT_EQ(ExitCodeOf(status), 5);
      EXPECT_THAT(MessageOf(status), HasSubstr("running gang"));
    }
  }
  EXPECT_TRUE(Has(".anamnesis/run.json"));
}

TEST_F(OutputDirectoryTest, ResumesWhereARunIs) {
  Put(".anamnesis/run.json");
  Put("checkpoint-3/manifest.json");
  const StatusOr<OutputDirectory> output = Open(true, true);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->action, OutputAction::kResume);
  EXPECT_TRUE(Has("checkpoint-3/manifest.json"));
}

TEST_F(OutputDirectoryTest, RefusesAFileInItsPlace) {
  std::ofstream(out_) << "x";
  EXPECT_EQ(ExitCodeOf(Open(true, false).status()), 6);
}

}  // namespace
}  // namespace anamnesis::agent
