// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::launch {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = SlurmRefusal::Kind;

constexpr char kQueueIdentity[] = "0123456789abcdef";

TEST(ParseSbatchTest, ReadsTheNumber) {
  EXPECT_EQ(ParseSbatch("4711\n").value(), 4711);
  EXPECT_EQ(ParseSbatch("4711;cluster\n").value(), 4711);
}

TEST(ParseSbatchTest, RefusesAnythingElse) {
  for (const char* output : {"", "\n", "Submitted batch job 4711\n", "-1\n", "0\n", "1\n2\n",
                             "99999999999999999999\n", "12_3\n"}) {
    EXPECT_EQ(ParseSbatch(output).status().code(), absl::StatusCode::kDataLoss) << output;
  }
}

TEST(ParseSqueueTest, ReadsOurJobsAlone) {
  const auto jobs = ParseSqueue(
      "1|RUNNING|other|(null)|None\n"
      "2_[1-9]|PENDING|array|a|b|Priority\n"
      "3|PENDING|anamnesis-17-2-0123456789abcdef|x|(Resources)\n"
      "4|RUNNING|renamed|anamnesis-18-1-0123456789abcdef|None\n"
      "5|RUNNING|anamnesis-17-2-fedcba9876543210|(null)|None\n"
      "squeue: a word of warning\n"
      "6|COMPLETING|anamnesis-19-1-0123456789abcdef|(null)|ReqNodeNotAvail, May be down|n0\n",
      kQueueIdentity);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  ASSERT_EQ(jobs->size(), 3U);
  EXPECT_EQ((*jobs)[0].id, 3);
  EXPECT_EQ((*jobs)[0].tag.job, core::JobId{17});
  EXPECT_EQ((*jobs)[0].tag.epoch, 2);
  EXPECT_EQ((*jobs)[0].state, SlurmState::kPending);
  EXPECT_EQ((*jobs)[0].reason, "(Resources)");
  EXPECT_EQ((*jobs)[1].id, 4);
  EXPECT_EQ((*jobs)[1].tag.job, core::JobId{18});
  EXPECT_EQ((*jobs)[1].reason, "");
  EXPECT_EQ((*jobs)[2].state, SlurmState::kRunning);
  EXPECT_EQ((*jobs)[2].reason, "ReqNodeNotAvail, May be down|n0");
}

TEST(ParseSqueueTest, RefusesALineOfOursThatIsCut) {
  for (const char* line : {"x|RUNNING|anamnesis-17-2-0123456789abcdef|a|b\n",
                           "4|RUNNING|anamnesis-17-2-0123456789abcdef\n"}) {
    const auto jobs = ParseSqueue(line, kQueueIdentity);
    EXPECT_EQ(jobs.status().code(), absl::StatusCode::kDataLoss) << line;
    EXPECT_THAT(MessageOf(jobs.status()), HasSubstr("line 1"));
  }
  EXPECT_THAT(ParseSqueue("", kQueueIdentity).value(), IsEmpty());
}

TEST(ParseSacctTest, ReadsAllocations) {
  const auto accounts = ParseSacct(
      "4711|CANCELLED by 1000\n4711.batch|COMPLETED\n4712|OUT_OF_MEMORY\nSlurm accounting\n|\n");
  ASSERT_EQ(accounts.size(), 2U);
  EXPECT_EQ(accounts.at(4711).state, SlurmState::kCancelled);
  EXPECT_EQ(accounts.at(4712).state, SlurmState::kOutOfMemory);
}

TEST(SlurmStateTest, KnowsWhatIsOver) {
  for (const char* name : {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED",
                           "REQUEUED", "A_WORD_OF_TOMORROW", ""}) {
    EXPECT_FALSE(IsOver(SlurmStateFromName(name))) << name;
  }
  for (const char* name : {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "NODE_FAIL",
                           "BOOT_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "REVOKED"}) {
    EXPECT_TRUE(IsOver(SlurmStateFromName(name))) << name;
  }
}

// Words of Slurm 22.05.
TEST(JudgeRefusalTest, TellsAMistakeFromAnEngineThatIsAway) {
  struct Case {
    const char* words;
    Kind kind;
  };
  for (const auto& [words, kind] : std::initializer_list<Case>{
           {"Batch job submission failed: Invalid partition name specified", Kind::kInvalid},
           {"Batch job submission failed: Invalid account or account/partition combination "
            "specified",
            Kind::kInvalid},
           {"Batch job submission failed: Invalid qos specification", Kind::kInvalid},
           {"Invalid generic resource (gres) specification", Kind::kInvalid},
           {"Batch job submission failed: Requested node configuration is not available",
            Kind::kInvalid},
           {"Batch job submission failed: Requested time limit is invalid (missing or exceeds "
            "some limit)",
            Kind::kInvalid},
           {"Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
            "user's size and/or time limits)",
            Kind::kInvalid},
           {"QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy",
            Kind::kLater},
           {"Batch job submission failed: Required node not available (down, drained or reserved)",
            Kind::kLater},
           {"Batch job submission failed: Unable to contact slurm controller (connect failure)",
            Kind::kLater},
           {"Batch job submission failed: Socket timed out on send/recv operation", Kind::kLater},
           {"Slurm temporarily unable to accept job, sleeping and retrying", Kind::kLater},
           {"Batch job submission failed: Unspecified error", Kind::kOther},
           {"", Kind::kOther}}) {
    EXPECT_EQ(JudgeRefusal(Cat("sbatch: error: ", words, "\n"), 1).kind, kind) << words;
  }
}

TEST(JudgeRefusalTest, KeepsSlurmsWordsInOnePrintableLine) {
  EXPECT_EQ(JudgeRefusal("sbatch: error: invalid partition specified: nope\n"
                         "sbatch: error: Batch job submission failed: Invalid partition name "
                         "specified\n",
                         1)
                .message,
            "invalid partition specified: nope; Batch job submission failed: Invalid partition "
            "name specified");
  EXPECT_EQ(JudgeRefusal("", 127).message, "exit code 127 without a word");
  EXPECT_EQ(JudgeRefusal("a\x1b[31m\n", 1).message, "a?[31m");
  EXPECT_LE(JudgeRefusal(std::string(100000, 'x'), 1).message.size(), 500U);
}

}  // namespace
}  // namespace anamnesis::launch
