// SPDX-License-Identifier: Apache-2.0
#include "services/cli/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/temporary_folder.h"

namespace anamnesis::cli {
namespace {

using ::testing::HasSubstr;

TEST(Judge, GivesALevelAndARemedy) {
  EXPECT_EQ(JudgeDriver(false, "").level, Level::kWarn);
  EXPECT_EQ(JudgeDriver(true, "NVRM version: 570\nGCC").text, "NVRM version: 570");
  EXPECT_EQ(JudgeSharedMemory(64 << 20, 64 << 20).level, Level::kWarn);
  EXPECT_EQ(JudgeSharedMemory(1 << 30, 1 << 30).level, Level::kOk);
  EXPECT_EQ(JudgeDisk("data space", "/d", 100 << 20).level, Level::kBad);
  EXPECT_EQ(JudgeDisk("data space", "/d", 1 << 30).level, Level::kWarn);
  EXPECT_EQ(JudgeDisk("data space", "/d", 100ULL << 30U).level, Level::kOk);
  EXPECT_EQ(JudgeClock(1970, true).level, Level::kBad);
  EXPECT_EQ(JudgeClock(2026, false).level, Level::kBad);
  EXPECT_EQ(JudgeClock(2026, true).level, Level::kOk);
  EXPECT_EQ(JudgeCores(8, 1).level, Level::kWarn);
  EXPECT_EQ(JudgeCores(8, 8).text, "8 of 8 may be used");
}

TEST(FindingsText, HasALineEach) {
  const std::vector<Finding> findings = {{Level::kOk, "clock", "runs", ""},
                                         {Level::kBad, "port", "taken", "choose another"}};
  EXPECT_EQ(FindingsText(findings),
            "ok    clock            runs\n"
            "bad   port             taken: choose another\n");
  EXPECT_TRUE(HasBad(findings));
  EXPECT_FALSE(HasBad({findings[0]}));
  EXPECT_EQ(FindingsJson(findings)["findings"][1]["level"], "bad");
}

TEST(ExamineMachine, FindsAFolderThatCannotBe) {
  const TemporaryFolder folder;
  const std::string file = folder.Write("file", "x");
  const auto level_of = [&](const std::string& data, const std::string& subject) {
    const auto findings = ExamineMachine({.data_directory = data},
                                         [](const char*) { return std::optional<std::string>(); });
    const auto found = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& f) { return f.subject == subject; });
    return found == findings.end() ? Level::kWarn : found->level;
  };
  EXPECT_EQ(level_of(folder.File("new/data"), "data directory"), Level::kOk);
  EXPECT_EQ(level_of(file + "/data", "data directory"), Level::kBad);
  EXPECT_EQ(level_of(folder.File(std::string(120, 'd')), "socket path"), Level::kBad);
}

}  // namespace
}  // namespace anamnesis::cli
