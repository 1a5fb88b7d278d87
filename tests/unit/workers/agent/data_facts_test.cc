// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/data_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "workers/shard/manifest.h"

namespace anamnesis::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DataFactsTest : public testing::Test {
 protected:
  DataFactsTest() {
    shard::SplitRecord split{.name = "train", .subjects = 8, .events = 0, .cases = 2};
    split.subject_hashes.file = "train.subject-hashes";
    split.shards.emplace_back();
    split.shards[0].file = "train-00000.shard";
    split.shards[0].subjects = 8;
    manifest_.splits = {split};
    manifest_.phrases.file = "phrases";
    data_.plan.shards_directory = folder_.path();
    data_.stream.rows = "documents";
    data_.class_names = {"Control", "Case"};
    data_.train.num_documents = 7;
    data_.train.num_tokens = 60;
    data_.train.num_dropped_ids = 20;
  }
  v1::DataFacts Facts() {
    folder_.Write(shard::kManifestFile, shard::ManifestText(manifest_));
    const StatusOr<v1::DataFacts> facts = MakeDataFacts(data_);
    EXPECT_TRUE(facts.ok()) << facts.status();
    return facts.ok() ? *facts : v1::DataFacts();
  }

  TemporaryFolder folder_;
  shard::Manifest manifest_;
  DataStage data_;
};

TEST_F(DataFactsTest, ComeFromTheManifestAndTheIndex) {
  manifest_.lookups = {{"medical_lookup", 10, 5}, {"time_lookup", 4, 1}};
  const v1::DataFacts facts = Facts();
  EXPECT_EQ(facts.medical_coverage(), 0.5);
  EXPECT_FALSE(facts.has_lab_coverage());
  EXPECT_EQ(facts.truncated_token_share(), 0.25);
  EXPECT_EQ(facts.train_documents(), 7);
  EXPECT_THAT(facts.class_shares(), ElementsAre(0.75, 0.25));
}

TEST_F(DataFactsTest, WhatIsNotKnownIsNotSaid) {
  data_.stream.rows = "packed";
  data_.class_names = {"Control", "breast", "lung"};
  const v1::DataFacts facts = Facts();
  EXPECT_FALSE(facts.has_medical_coverage());
  EXPECT_FALSE(facts.has_truncated_token_share());
  EXPECT_TRUE(facts.class_shares().empty());
}

TEST_F(DataFactsTest, ADamagedManifestIsNamed) {
  folder_.Write(shard::kManifestFile, "{}");
  EXPECT_THAT(MessageOf(MakeDataFacts(data_).status()), HasSubstr(folder_.path()));
}

}  // namespace
}  // namespace anamnesis::agent
