// SPDX-License-Identifier: Apache-2.0
#include "common/process/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "common/process/identity.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis {
namespace {

using ::testing::HasSubstr;

StatusOr<CommandResult> Shell(const std::string& script, CommandOptions options = {}) {
  options.argv = {"/bin/sh", "-c", script};
  return RunCommand(options);
}

TEST(RunCommandTest, KeepsWhatWasSaidApart) {
  const auto result = Shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->errors, "err\n");
  EXPECT_EQ(result->exit.exit_code, 3);
}

TEST(RunCommandTest, TakesMoreThanAPipeHolds) {
  const auto result = Shell("yes 0123456789 | head -c 3000000");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output.size(), 3000000U);
}

TEST(RunCommandTest, GivesTheEnvironmentItIsTold) {
  const auto result = Shell("echo \"$A$HOME\"", {.environment = {"A=x"}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "x\n");
}

TEST(RunCommandTest, KillsWhatHangsWithItsChildren) {
  const TemporaryFolder folder;
  const std::string pid_file = folder.File("pid");
  const auto result =
      Shell("sleep 1000 & echo $! > " + pid_file + "; wait", {.patience = absl::Milliseconds(200)});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("no answer within 200ms"));
  const StatusOr<std::string> pid = ReadFile(pid_file);
  ASSERT_TRUE(pid.ok());
  const StatusOr<ProcessIdentity> child = IdentityOf(std::stoll(*pid));
  if (!child.ok()) return;  // gone
  StatusOr<WatchedProcess> watched = WatchedProcess::Open(*child);
  if (!watched.ok()) return;
  pollfd end = {watched->pidfd(), POLLIN, 0};
  EXPECT_EQ(::poll(&end, 1, 10'000), 1) << "the child was not killed";
}

TEST(RunCommandTest, EndsThoughAChildKeepsThePipes) {
  const auto result = Shell("sleep 2 & echo done", {.patience = absl::Seconds(60)});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "done\n");
}

TEST(RunCommandTest, RefusesAFlood) {
  const auto result = Shell("yes", {.max_output_bytes = 1000});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(RunCommandTest, IsNotWaitedForOnceCancelled) {
  const FileDescriptor cancel(::eventfd(1, EFD_CLOEXEC));
  const auto result = Shell("sleep 1000", {.cancel_fd = cancel.get()});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted);
}

TEST(RunCommandTest, NamesAProgramThatCannotBeStarted) {
  const auto result = RunCommand({.argv = {"/nowhere/squeue"}});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(result.status()), HasSubstr("/nowhere/squeue"));
}

TEST(FindProgramTest, FindsTheFirstThatCanBeRun) {
  const TemporaryFolder folder;
  folder.Write("squeue", "not a program");
  ASSERT_EQ(::mkdir(folder.File("bin").c_str(), 0700), 0);
  const std::string program = folder.Write("bin/squeue", "#!/bin/sh\n");
  ::chmod(program.c_str(), 0700);
  const auto found = FindProgram("squeue", Cat("::rel:", folder.path(), ":", folder.File("bin")));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, program);
  EXPECT_EQ(FindProgram("sbatch", folder.path()).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace anamnesis
