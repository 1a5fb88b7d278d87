// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::launch {
namespace {

using core::Reason;
using ::testing::HasSubstr;
using Meant = SlurmMeaning::Kind;

SlurmMeaning Meaning(const std::string& name, const SlurmHistory& history = {},
                     const std::string& reason = "") {
  return MeaningOf(4711, SlurmStateFromName(name), name, reason, history);
}

TEST(SlurmRuleTest, NamesTheReasonOfEveryEnd) {
  for (const auto& [name, reason] : std::initializer_list<std::pair<const char*, Reason>>{
           {"COMPLETED", Reason::kWorkerLost},
           {"FAILED", Reason::kWorkerLost},
           {"NODE_FAIL", Reason::kNodeLost},
           {"BOOT_FAIL", Reason::kNodeLost},
           {"PREEMPTED", Reason::kPreempted},
           {"TIMEOUT", Reason::kTimeLimit},
           {"DEADLINE", Reason::kTimeLimit},
           {"OUT_OF_MEMORY", Reason::kOutOfMemory},
           {"CANCELLED", Reason::kEngineCancelled}}) {
    const SlurmMeaning meaning = Meaning(name, {.ran = true});
    EXPECT_EQ(meaning.kind, Meant::kGone) << name;
    EXPECT_EQ(meaning.reason, reason) << name;
    EXPECT_THAT(meaning.message, HasSubstr("slurm job 4711")) << name;
  }
}

TEST(SlurmRuleTest, OurOwnCancelIsNobodyElses) {
  EXPECT_EQ(Meaning("CANCELLED", {.stopped = true}).reason, Reason::kWorkerLost);
}

TEST(SlurmRuleTest, SaysWhatAJobWaitsFor) {
  const SlurmMeaning meaning = Meaning("PENDING", {}, "Resources");
  EXPECT_EQ(meaning.kind, Meant::kWaits);
  EXPECT_EQ(meaning.message, "slurm job 4711 waits: Resources");
  EXPECT_EQ(Meaning("CONFIGURING").message, "slurm job 4711 waits: CONFIGURING");
}

TEST(SlurmRuleTest, AJobThatRanAndWaitsAgainWasRequeued) {
  for (const SlurmMeaning& meaning :
       {Meaning("PENDING", {.ran = true}, "BeginTime"), Meaning("REQUEUED"),
        Meaning("REQUEUE_HOLD"), Meaning("SPECIAL_EXIT")}) {
    EXPECT_EQ(meaning.kind, Meant::kRequeued);
    EXPECT_EQ(meaning.reason, Reason::kPreempted);
  }
}

TEST(SlurmRuleTest, AWordThatNobodyKnowsIsNoEnd) {
  for (const char* name : {"RUNNING", "COMPLETING", "SUSPENDED", "A_WORD_OF_TOMORROW", ""}) {
    EXPECT_EQ(Meaning(name).kind, Meant::kRuns) << name;
  }
}

}  // namespace
}  // namespace anamnesis::launch
