// SPDX-License-Identifier: Apache-2.0
// What a crash, a full disk or a bad disk can leave of a checkpoint is never taken for one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "tests/support/temporary_folder.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

class ManifestDamage : public ::testing::Test {
 protected:
  ManifestDamage() {
    for (const int64_t step : {2, 10}) Make(step);
  }

  void Make(int64_t step) const {
    const std::string folder = Folder(step);
    fs::create_directories(folder);
    Manifest manifest;
    manifest.step = step;
    for (const char* name : {"adapter_model.safetensors", "optimizer.safetensors"}) {
      const std::string content = Cat(name, " of step ", step);
      Write(Cat(folder, "/", name), content);
      manifest.files.push_back(
          {.name = name, .size_bytes = content.size(), .sha256 = Sha256Hex(content)});
    }
    Write(folder + "/manifest.json", ManifestText(manifest));
  }
  std::string Folder(int64_t step) const { return Cat(output_, "/checkpoint-", step); }

  // The step that a resume would continue from.
  int64_t Found(size_t num_skipped) const {
    const StatusOr<FoundCheckpoint> found = FindLatest(output_);
    EXPECT_TRUE(found.ok());
    EXPECT_THAT(found->skipped, SizeIs(num_skipped));
    return found->directory.empty() ? 0 : found->manifest.step;
  }

  const TemporaryFolder folder_;
  const std::string output_ = folder_.path();
};

TEST_F(ManifestDamage, NewestWholeCheckpointIsFoundByNumberNotByName) { EXPECT_EQ(Found(0), 10); }

TEST_F(ManifestDamage, FolderWithoutManifestIsNoCheckpoint) {
  fs::remove(Folder(10) + "/manifest.json");
  EXPECT_EQ(Found(1), 2);
}

TEST_F(ManifestDamage, ManifestCutAtAnyByteIsNoCheckpoint) {
  const std::string path = Folder(10) + "/manifest.json";
  const std::string whole = *ReadFile(path);
  for (size_t size = 0; size + 2 < whole.size();
       ++size) {  // without the last newline it is still whole
    Write(path, whole.substr(0, size));
    EXPECT_EQ(ReadManifest(Folder(10)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST_F(ManifestDamage, EveryFlippedOrMissingByteOfAFileIsFound) {
  const std::string path = Folder(10) + "/adapter_model.safetensors";
  const std::string whole = *ReadFile(path);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    Write(path, damaged);
    EXPECT_EQ(Found(1), 2);
    Write(path, whole.substr(0, at));
    EXPECT_EQ(Found(1), 2);
  }
  fs::remove(path);
  EXPECT_EQ(Found(1), 2);
}

TEST_F(ManifestDamage, ManifestOfAnotherStepIsNoCheckpoint) {
  fs::rename(Folder(10), Folder(11));
  EXPECT_EQ(Found(1), 2);
}

TEST_F(ManifestDamage, NothingWholeMeansStepZero) {
  for (const int64_t step : {2, 10}) Write(Folder(step) + "/manifest.json", "{}");
  EXPECT_EQ(Found(2), 0);
}

TEST_F(ManifestDamage, NamesThatLeaveTheFolderAreRefused) {
  Json json = *ReadJsonFile(Folder(10) + "/manifest.json");
  for (const char* name : {"../x", "/etc/passwd", ".hidden", ""}) {
    json["files"][0]["name"] = name;
    const Status status = ManifestFromJson(json, "m").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << name;
  }
}

TEST_F(ManifestDamage, UnknownMissingAndMistypedKeysAreRefusedByName) {
  const Json whole = *ReadJsonFile(Folder(10) + "/manifest.json");
  EXPECT_TRUE(ManifestFromJson(whole, "m").ok());
  for (const auto& [key, value] : whole.items()) {
    Json json = whole;
    json.erase(key);
    EXPECT_THAT(MessageOf(ManifestFromJson(json, "m").status()), HasSubstr(key));
    json[key] = nullptr;
    EXPECT_THAT(MessageOf(ManifestFromJson(json, "m").status()), HasSubstr(key));
  }
  Json json = whole;
  json["surprise"] = 1;
  EXPECT_THAT(MessageOf(ManifestFromJson(json, "m").status()), HasSubstr("surprise"));
}

TEST_F(ManifestDamage, StagingFoldersAreRemovedAndNothingElse) {
  fs::create_directories(output_ + "/.staging-checkpoint-12");
  Write(output_ + "/notes.txt", "x");
  ASSERT_TRUE(RemoveStaging(output_).ok());
  EXPECT_FALSE(fs::exists(output_ + "/.staging-checkpoint-12"));
  EXPECT_TRUE(fs::exists(output_ + "/notes.txt"));
  EXPECT_EQ(Found(0), 10);
}

}  // namespace
}  // namespace anamnesis::checkpoint
