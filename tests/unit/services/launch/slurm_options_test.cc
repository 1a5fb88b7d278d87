// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::launch {
namespace {

using ::testing::HasSubstr;

TEST(SlurmOptionsTest, ReadsEveryKey) {
  const auto options = ParseSlurmOptions(
      {"partition=gpu,long", "account=lab-1", "qos=high", "reservation=r1", "constraint=a100&nvme",
       "time_limit=1-12:00:00", "gres_per_rank=gpu:a100:2", "memory_per_rank=8G", "grace=300s",
       "poll=5", "patience=60"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->partition, "gpu,long");
  EXPECT_EQ(options->account, "lab-1");
  EXPECT_EQ(options->qos, "high");
  EXPECT_EQ(options->reservation, "r1");
  EXPECT_EQ(options->constraint, "a100&nvme");
  EXPECT_EQ(options->time_limit, "1-12:00:00");
  EXPECT_EQ(options->gres_per_rank.name, "gpu:a100");
  EXPECT_EQ(options->gres_per_rank.count, 2);
  EXPECT_EQ(options->memory_per_rank_mib, 8192);
  EXPECT_EQ(options->grace, absl::Seconds(300));
  EXPECT_EQ(options->poll_interval, absl::Seconds(5));
  EXPECT_EQ(options->patience, absl::Seconds(60));
}

TEST(SlurmOptionsTest, TakesTheTimesThatSbatchTakes) {
  for (const char* time : {"30", "30:15", "2:30:15", "1-4", "1-4:30", "1-4:30:15"}) {
    EXPECT_TRUE(ParseSlurmOptions({Cat("time_limit=", time)}).ok()) << time;
  }
}

TEST(SlurmOptionsTest, RefusesAValueThatIsNone) {
  for (const char* pair : {"time_limit=",        "time_limit=1h",
                           "time_limit=1:2:3:4", "time_limit=-5",
                           "time_limit=1-",      "time_limit=1:2-3",
                           "gres_per_rank=gpu",  "gres_per_rank=gpu:0",
                           "gres_per_rank=:1",   "gres_per_rank=gpu:99999999999999999999",
                           "memory_per_rank=8Q", "memory_per_rank=-1",
                           "memory_per_rank=",   "grace=70000",
                           "grace=1.5",          "poll=0",
                           "partition=",         "partition=a b",
                           "partition=--wrap",   "partition=$(id)",
                           "qos=a\nb",           "account=a;b"}) {
    const auto options = ParseSlurmOptions({pair});
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << pair;
    EXPECT_THAT(MessageOf(options.status()), HasSubstr("expected")) << pair;
  }
}

TEST(SlurmOptionsTest, NamesAllThatIsWrongAtOnce) {
  const auto options = ParseSlurmOptions({"wrap=rm", "partition", "qos=a", "qos=b"});
  EXPECT_THAT(MessageOf(options.status()), HasSubstr("wrap=rm: no such key; there are account"));
  EXPECT_THAT(MessageOf(options.status()), HasSubstr("partition: expected KEY=VALUE"));
  EXPECT_THAT(MessageOf(options.status()), HasSubstr("qos=b: given twice"));
}

}  // namespace
}  // namespace anamnesis::launch
