// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/process/command.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::launch {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kIdentity[] = "0123456789abcdef";

SlurmBatch Batch() {
  return {.job = core::JobId{17},
          .epoch = 2,
          .nodes = 2,
          .ranks_per_node = 4,
          .threads_per_rank = 3,
          .worker_address = "head:7000",
          .token_path = "/data/jobs/17/token",
          .log_path = "/data/jobs/17/worker.log"};
}

SlurmSite Site() {
  return {.identity = kIdentity,
          .data_directory = "/data",
          .worker_program = "/opt/bin/anamnesis-worker"};
}

TEST(SlurmTagTest, IsReadBack) {
  const SlurmTag tag{.identity = kIdentity, .job = core::JobId{17}, .epoch = 2};
  EXPECT_EQ(TextOf(tag), "anamnesis-17-2-0123456789abcdef");
  EXPECT_EQ(ParseSlurmTag(TextOf(tag)), tag);
}

TEST(SlurmTagTest, IsNotSeenInOtherNames) {
  for (const char* name :
       {"", "anamnesis", "anamnesis-", "anamnesis-17-2", "anamnesis-17-2-0123456789abcde",
        "anamnesis-17-2-0123456789abcdeg", "anamnesis-017-2-0123456789abcdef",
        "anamnesis-17--2-0123456789abcdef", "anamnesis-0-2-0123456789abcdef",
        "anamnesis-99999999999999999999-2-0123456789abcdef", " anamnesis-17-2-0123456789abcdef",
        "anamnesis-17-2-0123456789abcdef "}) {
    EXPECT_FALSE(ParseSlurmTag(name).has_value()) << name;
  }
}

TEST(SbatchArgumentsTest, AskForOneWorkerOnEachNode) {
  const auto words = SbatchArguments(Batch(), {}, Site());
  EXPECT_THAT(words, Contains("--nodes=2"));
  EXPECT_THAT(words, Contains("--ntasks-per-node=1"));
  EXPECT_THAT(words, Contains("--cpus-per-task=12"));
  EXPECT_THAT(words, Contains("--no-requeue"));
  EXPECT_THAT(words, Contains("--export=NONE"));
  EXPECT_THAT(words, Contains("--signal=TERM@120"));
  EXPECT_THAT(words, Contains("--job-name=anamnesis-17-2-0123456789abcdef"));
  EXPECT_THAT(words, Not(Contains(StartsWith("--partition"))));
  EXPECT_THAT(words, Not(Contains(StartsWith("--mem"))));
}

TEST(SbatchArgumentsTest, WithoutAGraceNobodyIsWarned) {
  EXPECT_THAT(SbatchArguments(Batch(), {.grace = absl::ZeroDuration()}, Site()),
              Not(Contains(StartsWith("--signal"))));
}

TEST(SbatchArgumentsTest, CountResourcesByNode) {
  SlurmOptions options{.partition = "gpu", .account = "lab", .time_limit = "1-00:00:00"};
  options.gres_per_rank = {.name = "gpu:a100", .count = 1};
  options.memory_per_rank_mib = 1024;
  const auto words = SbatchArguments(Batch(), options, Site());
  EXPECT_THAT(words, Contains("--partition=gpu"));
  EXPECT_THAT(words, Contains("--account=lab"));
  EXPECT_THAT(words, Contains("--time=1-00:00:00"));
  EXPECT_THAT(words, Contains("--gres=gpu:a100:4"));
  EXPECT_THAT(words, Contains("--mem=4096M"));
}

TEST(WorkerEnvironmentTest, PassesNoSecretOn) {
  using Pair = std::pair<std::string, std::string>;
  EXPECT_THAT(WorkerEnvironment({"HF_HOME=/m=1", "HF_TOKEN=hf_x", "ANAMNESIS_WORKER_TOKEN=t",
                                 "NCCL_SOCKET_IFNAME=ib0", "NCCL_$(id)=1", "PATH=/bin", "NONE"}),
              ElementsAre(Pair("HF_HOME", "/m=1"), Pair("NCCL_SOCKET_IFNAME", "ib0")));
}

// The script as a shell takes it, with an srun that says what it was given.
class BatchScriptTest : public ::testing::Test {
 protected:
  StatusOr<CommandResult> Run(const SlurmBatch& batch, const SlurmSite& site,
                              std::vector<std::string> environment) {
    const std::string srun =
        folder_.Write("srun",
                      "#!/bin/sh\necho \"srun $*\" >&2\nwhile [ \"$1\" != sh ]; do shift; done\n"
                      "SLURM_PROCID=1 exec \"$@\"\n");
    EXPECT_EQ(std::system(("chmod 700 " + srun).c_str()), 0);
    environment.push_back("PATH=" + folder_.path() + ":/usr/bin:/bin");
    return RunCommand({.argv = {"/bin/sh", folder_.Write("script", BatchScript(batch, site))},
                       .environment = std::move(environment)});
  }
  TemporaryFolder folder_;
};

TEST_F(BatchScriptTest, StartsTheWorkerOfItsNode) {
  SlurmSite site = Site();
  site.worker_program = folder_.Write("it's a worker", "#!/bin/sh\necho \"$@\"; env\n");
  ASSERT_EQ(std::system(("chmod 700 \"" + site.worker_program + "\"").c_str()), 0);
  site.environment = {{"HF_HOME", "/models of $HOME/`id`'s"}};
  const auto result = Run(Batch(), site, {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output,
              StartsWith("attempt --coordinator head:7000 --job 17 --epoch 2 --node 1\n"));
  EXPECT_THAT(result->output, HasSubstr("HF_HOME=/models of $HOME/`id`'s\n"));
  EXPECT_THAT(result->output, HasSubstr("ANAMNESIS_WORKER_TOKEN_FILE=/data/jobs/17/token\n"));
  EXPECT_THAT(result->errors, HasSubstr("--nodes=2 --ntasks=2 --ntasks-per-node=1 "
                                        "--cpus-per-task=12"));
  EXPECT_EQ(result->exit.exit_code, 0);
}

TEST_F(BatchScriptTest, StartsNothingASecondTime) {
  const auto result = Run(Batch(), Site(), {"SLURM_RESTART_COUNT=1"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit.exit_code, 75);
  EXPECT_THAT(result->errors, HasSubstr("This attempt is over"));
  EXPECT_THAT(result->errors, Not(HasSubstr("srun")));
}

}  // namespace
}  // namespace anamnesis::launch
