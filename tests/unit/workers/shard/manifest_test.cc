// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/manifest.h"

#include "common/base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace anamnesis::shard {
namespace {

Manifest MadeManifest() {
  Manifest manifest;
  manifest.code_version = "1";
  manifest.digest = "abc";
  manifest.inputs = {{"vocab", "vocab.csv", 12, "aa"}, {"train", "train/0.pkl", 34, "bb"}};
  manifest.profile = "seed";
  manifest.unknown_tokens = "keep-code";
  manifest.phrases = {"phrases", 5, "cc"};
  manifest.num_phrases = 3;
  manifest.sites = {"lung"};
  SplitRecord split{.name = "train", .subjects = 2, .events = 9};
  split.subject_hashes = {"train.subject-hashes", 16, "dd"};
  split.shards.emplace_back();
  static_cast<FileRecord&>(split.shards[0]) = {"train-00000.shard", 99, "ee"};
  split.shards[0].subjects = 2;
  split.shards[0].events = 9;
  manifest.splits = {split};
  return manifest;
}

TEST(Manifest, IsTheSameTextAfterParsing) {
  const std::string text = ManifestText(MadeManifest());
  const StatusOr<Manifest> manifest = ParseManifest(text);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(ManifestText(*manifest), text);
  EXPECT_EQ(manifest->splits[0].shards[0].file, "train-00000.shard");
  EXPECT_EQ(manifest->inputs[1].role, "train");
}

TEST(Manifest, HasHowMuchTheLookupsCoverOrNothingOfIt) {
  EXPECT_EQ(ManifestText(MadeManifest()).find("lookups"), std::string::npos);
  Manifest manifest = MadeManifest();
  manifest.lookups = {{"medical_lookup", 8, 6}, {"lab_lookup", 1, 0}};
  const StatusOr<Manifest> read = ParseManifest(ManifestText(manifest));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->lookups.size(), 2u);
  EXPECT_EQ(read->lookups[0].role, "medical_lookup");
  EXPECT_EQ(read->lookups[0].events, 8u);
  EXPECT_EQ(read->lookups[0].translated, 6u);
  manifest.lookups[1].translated = 2;
  EXPECT_EQ(ParseManifest(ManifestText(manifest)).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Manifest, ShowsAChangeOfAnyByte) {
  const std::string text = ManifestText(MadeManifest());
  for (size_t i = 0; i < text.size(); ++i) {
    for (const int bit : {0, 3, 5}) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const StatusOr<Manifest> manifest = ParseManifest(damaged);
      ASSERT_EQ(manifest.status().code(), absl::StatusCode::kDataLoss) << "byte " << i;
    }
  }
}

TEST(Manifest, RefusesEveryTruncation) {
  const std::string text = ManifestText(MadeManifest());
  for (size_t size = 0; size < text.size(); ++size) {
    ASSERT_EQ(ParseManifest(text.substr(0, size)).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
}

TEST(Manifest, RefusesFileNamesThatLeadOutOfTheSet) {
  Manifest manifest = MadeManifest();
  for (const char* name : {"../phrases", "/etc/passwd", ".hidden", ""}) {
    manifest.phrases.file = name;
    EXPECT_EQ(ParseManifest(ManifestText(manifest)).status().code(), absl::StatusCode::kDataLoss)
        << name;
  }
}

TEST(Manifest, RefusesCountsThatDoNotAddUp) {
  Manifest manifest = MadeManifest();
  manifest.splits[0].events = 10;
  EXPECT_EQ(ParseManifest(ManifestText(manifest)).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace anamnesis::shard
