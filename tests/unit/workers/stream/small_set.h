// SPDX-License-Identifier: Apache-2.0
// A small cohort and its shard set, for the tests of rows.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/civil.h"
#include "common/base/philox.h"
#include "common/base/sha256.h"
#include "tests/unit/workers/text/text_fixture.h"
#include "workers/shard/set_writer.h"
#include "workers/stream/row_source.h"

namespace anamnesis::stream {

struct Cohort {
  std::vector<shard::Phrase> phrases;
  std::vector<shard::Subject> subjects;
};

inline const int64_t kCancerTime = MicrosFromCivil(2020, 3, 31).value();

// Every seventh subject has only silent events, one none at all; every third is a case diagnosed at
// kCancerTime; times are a few days apart and end after the diagnosis.
inline Cohort MakeCohort(size_t num_subjects, uint64_t seed) {
  PhiloxStream random(seed, 9);
  Cohort cohort;
  cohort.phrases.push_back({"", shard::PhraseKind::kSilent});
  cohort.phrases.push_back({"4d-7d", shard::PhraseKind::kTimeInterval});
  for (const char* word : {"Glucose", "Sodium", "heart", "failure of the kidney", "5", "12"}) {
    for (const char* rest :
         {"", " 5", " (NOS)", " heart  ", " and a long name that none has seen"}) {
      cohort.phrases.push_back({std::string(word) + rest, shard::PhraseKind::kText});
    }
  }
  for (size_t i = 0; i < num_subjects; ++i) {
    shard::Subject subject;
    subject.subject_id = static_cast<int64_t>(1000 + i);
    if (i % 3 == 0) {
      subject.is_case = true;
      subject.site = "lung";
      subject.cancer_time_us = kCancerTime;
    }
    const uint64_t num_events = i == 1 ? 0 : 1 + random.Below(40);
    int64_t time_us = kCancerTime - 90 * kMicrosPerDay;
    for (uint64_t event = 0; event < num_events; ++event) {
      time_us += static_cast<int64_t>(random.Below(8)) * kMicrosPerDay;
      const bool silent = i % 7 == 2 || event == 0;
      const uint64_t phrase = silent ? 0 : 1 + random.Below(cohort.phrases.size() - 1);
      subject.events.push_back({.phrase = static_cast<uint32_t>(phrase),
                                .time_us = event < 2 ? shard::kStatic : time_us});
    }
    cohort.subjects.push_back(std::move(subject));
  }
  return cohort;
}

// Writes split train, in two shard files.
inline void WriteShards(const Cohort& cohort, const std::string& directory) {
  auto writer = shard::SetWriter::Create(directory, {"lung"});
  ASSERT_TRUE(writer.ok()) << writer.status();
  shard::Manifest manifest;
  manifest.code_version = "test";
  manifest.digest = Sha256Hex(directory);
  manifest.profile = "seed";
  manifest.unknown_tokens = "keep-code";
  manifest.rule_table_sha256 = Sha256Hex("rules");
  manifest.rules_sha256 = Sha256Hex("rules");
  manifest.sites = {"lung"};
  ASSERT_TRUE((*writer)->WritePhrases(cohort.phrases, &manifest).ok());
  shard::SplitRecord split;
  split.name = "train";
  std::vector<int64_t> ids;
  for (size_t file = 0; file < 2; ++file) {
    auto shard = (*writer)->NewShard("train", file);
    ASSERT_TRUE(shard.ok()) << shard.status();
    const size_t half = cohort.subjects.size() / 2;
    const size_t end = file == 0 ? half : cohort.subjects.size();
    for (size_t i = file == 0 ? 0 : half; i < end; ++i) {
      const shard::Subject& subject = cohort.subjects[i];
      ASSERT_TRUE((*shard)->Add(subject).ok());
      ids.push_back(subject.subject_id);
      split.events += subject.events.size();
      split.cases += subject.is_case ? 1 : 0;
      for (const shard::Event& event : subject.events) {
        split.static_events += event.time_us == shard::kStatic ? 1 : 0;
        split.silent_events += event.phrase == 0 ? 1 : 0;
      }
    }
    auto record = (*shard)->Finish();
    ASSERT_TRUE(record.ok()) << record.status();
    split.shards.push_back(*record);
  }
  split.subjects = cohort.subjects.size();
  auto hashes = (*writer)->WriteSubjectHashes("train", ids);
  ASSERT_TRUE(hashes.ok()) << hashes.status();
  split.subject_hashes = *hashes;
  manifest.splits = {split};
  const Status committed = (*writer)->Commit(manifest);
  ASSERT_TRUE(committed.ok()) << committed;
}

// A tokenizer, the shard set, and a row source's options for it.
class SmallSetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    text::TrainTokenizer(folder_);
    tokenizer_ = text::Tokenizer::FromDirectory(folder_.path()).value();
    cohort_ = MakeCohort(60, 4);
    WriteShards(cohort_, folder_.File("shards"));
    options_.shards_directory = folder_.File("shards");
    options_.split = "train";
    options_.model_directory = folder_.path();
    options_.index_path = folder_.File("index/train.pieces");
    options_.spec.cutoff_months = 1;
    options_.spec.tokenizer_sha256 = tokenizer_->sha256();
  }

  StatusOr<StreamTotals> Ensure(std::string* damage = nullptr) {
    return EnsureIndex(options_.shards_directory, options_.split, options_.model_directory,
                       options_.spec, options_.index_path, damage);
  }

  std::unique_ptr<RowSource> Open() {
    const auto totals = Ensure();
    EXPECT_TRUE(totals.ok()) << totals.status();
    auto source = RowSource::Open(options_);
    EXPECT_TRUE(source.ok()) << source.status();
    return source.ok() ? std::move(*source) : nullptr;
  }

  TemporaryFolder folder_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  Cohort cohort_;
  RowSourceOptions options_;
};

}  // namespace anamnesis::stream
