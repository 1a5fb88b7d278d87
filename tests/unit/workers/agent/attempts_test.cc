// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/attempts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AttemptsTest : public ::testing::Test {
 protected:
  const TemporaryFolder folder_;
  const std::string marker_ = folder_.path();
};

RunRecord MakeRecord() {
  RunRecord record;
  record.run_id = "r";
  record.task = "pretrain_llm";
  record.attempt = 1;
  record.resolved_spec = {{"training", {{"seed", 42}, {"threads_per_rank", nullptr}}},
                          {"resources", {{"ranks", 2}}}};
  stream::StreamSpec spec;
  spec.max_length = 64;
  spec.tokenizer_sha256 = "aa";
  record.stream = stream::ToJson(spec);
  record.base_model_sha256 = "bb";
  record.shards_manifest_sha256 = "cc";
  record.tensorboard_directory = "/runs/x";
  return record;
}

std::vector<std::string> Changed(const RunRecord& now) {
  const StatusOr<std::vector<std::string>> keys = KeysThatForbidResume(MakeRecord(), now);
  EXPECT_TRUE(keys.ok()) << keys.status();
  return *keys;
}

TEST_F(AttemptsTest, RecordComesBackEqual) {
  ASSERT_TRUE(WriteRunRecord(marker_, MakeRecord()).ok());
  const StatusOr<RunRecord> back = ReadRunRecord(marker_);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->resolved_spec, MakeRecord().resolved_spec);
  EXPECT_EQ(back->attempt, 1u);
  EXPECT_THAT(Changed(*back), IsEmpty());
}

TEST_F(AttemptsTest, DamagedRecordIsDataLoss) {
  for (const char* text : {"", "{", "{}", "{\"version\": 2}", "[]"}) {
    ASSERT_TRUE(WriteFileDurably(marker_ + "/run.json", text).ok());
    EXPECT_EQ(ReadRunRecord(marker_).status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

TEST(KeysThatForbidResume, LetsRanksAndThreadsChange) {
  RunRecord now = MakeRecord();
  now.resolved_spec["resources"]["ranks"] = 4;
  now.resolved_spec["training"]["threads_per_rank"] = 2;
  EXPECT_THAT(Changed(now), IsEmpty());
}

TEST(KeysThatForbidResume, NamesEveryChangedKey) {
  RunRecord now = MakeRecord();
  now.resolved_spec["training"]["seed"] = 7;
  now.resolved_spec["lora"]["r"] = 4;
  now.task = "finetune_llm";
  EXPECT_THAT(Changed(now), ElementsAre("--task", "lora", "training.seed"));
}

TEST(KeysThatForbidResume, SeesWhatChangedBehindAnEqualText) {
  RunRecord now = MakeRecord();
  now.base_model_sha256 = "dd";
  now.shards_manifest_sha256 = "ee";
  now.stream["tokenizer"] = "ff";
  EXPECT_EQ(Changed(now).size(), 3u);
}

TEST_F(AttemptsTest, CountsStepsOverAttempts) {
  for (const auto& [attempt, first, last] : {std::tuple{1, 1, 7}, std::tuple{2, 6, 10}}) {
    StatusOr<StepCounter> counter = StepCounter::Create(marker_, static_cast<uint64_t>(attempt));
    ASSERT_TRUE(counter.ok());
    for (int step = first; step <= last; ++step) EXPECT_TRUE(counter->Add(step).ok());
  }
  EXPECT_TRUE(StepCounter::Create(marker_, 3).ok());  // killed before its first step
  EXPECT_EQ(*StepsExecuted(marker_), 12);
}

TEST_F(AttemptsTest, DamagedCountIsDataLoss) {
  ASSERT_TRUE(WriteFileDurably(marker_ + "/steps-1", "9 3\n").ok());
  EXPECT_EQ(StepsExecuted(marker_).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace anamnesis::agent
