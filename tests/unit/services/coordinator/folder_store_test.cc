// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/folder_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/io/json.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder as a worker sends it.
struct Sent {
  explicit Sent(const std::string& name, std::map<std::string, std::string> the_files)
      : files(std::move(the_files)) {
    Json manifest = {{"files", Json::array()}};
    for (const auto& [file, text] : files) {
      manifest["files"].push_back({{"name", file}, {"sha256", Sha256Hex(text)}});
    }
    files["manifest.json"] = manifest.dump();
    head.set_name(name);
    head.set_manifest_sha256(Sha256Hex(files["manifest.json"]));
    head.set_run_record("{}");
  }

  Status To(const std::string& output, int64_t epoch = 1) const {
    ANAM_ASSIGN_OR_RETURN(IncomingFolder folder, IncomingFolder::Open(output, epoch, head));
    for (const auto& [file, text] : files) {
      for (size_t at = 0; at == 0 || at < text.size(); at += 3) {  // in small parts
        v1::FilePart part;
        part.set_name(file);
        part.set_data(text.substr(at, 3));
        ANAM_RETURN_IF_ERROR(folder.Add(part));
      }
    }
    return folder.Finish();
  }

  v1::FolderHead head;
  std::map<std::string, std::string> files;
};

class FolderStoreTest : public ::testing::Test {
 protected:
  std::string Read(const std::string& name) const { return *ReadFile(output_ + "/" + name); }

  TemporaryFolder folder_;
  const std::string output_ = folder_.File("out");
};

TEST_F(FolderStoreTest, AFolderIsVisibleOnceItIsCommittedAndNotBefore) {
  const Sent sent("checkpoint-20", {{"adapter.safetensors", "weights"}, {"empty", ""}});
  ASSERT_TRUE(sent.To(output_).ok());
  EXPECT_FALSE(PathExists(output_ + "/checkpoint-20"));
  ASSERT_TRUE(PublishIncoming(output_, 1, "checkpoint-20").ok());
  EXPECT_EQ(Read("checkpoint-20/adapter.safetensors"), "weights");
  EXPECT_EQ(Read("checkpoint-20/empty"), "");
  EXPECT_EQ(Read(".anamnesis/run.json"), "{}");
  EXPECT_FALSE(PathExists(output_ + "/checkpoint-20/.head"));
  EXPECT_TRUE(PublishIncoming(output_, 1, "checkpoint-20").ok());  // asked again
}

TEST_F(FolderStoreTest, AWholeModelEndsInTheOutputFolderItself) {
  Sent sent("final_model", {{"model.safetensors", "weights"}});
  sent.head.set_whole_model(true);
  ASSERT_TRUE(sent.To(output_).ok());
  ASSERT_TRUE(PublishIncoming(output_, 1, "final_model").ok());
  EXPECT_EQ(Read("model.safetensors"), "weights");
  EXPECT_EQ(Read(".anamnesis/manifest.json"), sent.files.at("manifest.json"));
  EXPECT_TRUE(PublishIncoming(output_, 1, "final_model").ok());
}

TEST_F(FolderStoreTest, WhatDidNotComeWholeIsNotPublished) {
  const Sent sent("checkpoint-20", {{"adapter.safetensors", "weights"}});
  Sent cut = sent;
  cut.files["adapter.safetensors"] = "weigh";
  EXPECT_THAT(MessageOf(cut.To(output_)), HasSubstr("checkpoint-20/adapter.safetensors"));
  EXPECT_EQ(PublishIncoming(output_, 1, "checkpoint-20").code(),
            absl::StatusCode::kFailedPrecondition);
  Sent more = sent;
  more.files["another"] = "";
  EXPECT_EQ(more.To(output_).code(), absl::StatusCode::kDataLoss);
  Sent other = sent;
  other.head.set_manifest_sha256("00");
  EXPECT_EQ(other.To(output_).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(PublishIncoming(output_, 1, "checkpoint-40").code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(FolderStoreTest, NoNameLeadsOutOfTheFolder) {
  for (const char* name : {"..", "checkpoint-", "checkpoint-1/../../x", "final", ""}) {
    EXPECT_EQ(Sent(name, {}).To(output_).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  for (const char* file : {"../x", "a/b", ".head", "", ".."}) {
    EXPECT_EQ(Sent("checkpoint-1", {{file, "x"}}).To(output_).code(),
              absl::StatusCode::kInvalidArgument)
        << file;
  }
  EXPECT_FALSE(PathExists(folder_.File("x")));
}

TEST_F(FolderStoreTest, WhatTheNodeNoLongerKeepsGoesWithTheNextCommit) {
  for (const char* name : {"checkpoint-20", "checkpoint-40"}) {
    ASSERT_TRUE(Sent(name, {}).To(output_).ok());
    ASSERT_TRUE(PublishIncoming(output_, 1, name).ok());
  }
  EXPECT_FALSE(PathExists(output_ + "/checkpoint-20"));
  Sent third("checkpoint-60", {});
  third.head.add_keep("checkpoint-40");
  ASSERT_TRUE(third.To(output_).ok());
  ASSERT_TRUE(PublishIncoming(output_, 1, "checkpoint-60").ok());
  EXPECT_TRUE(PathExists(output_ + "/checkpoint-40/manifest.json"));
}

TEST_F(FolderStoreTest, TheNextEpochRemovesWhatWasNeverCommitted) {
  ASSERT_TRUE(Sent("checkpoint-20", {}).To(output_, 1).ok());
  ASSERT_TRUE(Sent("checkpoint-40", {}).To(output_, 2).ok());
  EXPECT_FALSE(PathExists(output_ + "/.upload-1-checkpoint-20"));
  EXPECT_TRUE(PathExists(output_ + "/.upload-2-checkpoint-40"));
}

TEST_F(FolderStoreTest, CheckpointsGoOutAsTheyCameIn) {
  for (const char* name : {"checkpoint-100", "checkpoint-20"}) {
    Sent sent(name, {{"a", name}, {"empty", ""}});
    sent.head.add_keep("checkpoint-100");
    ASSERT_TRUE(sent.To(output_).ok());
    ASSERT_TRUE(PublishIncoming(output_, 1, name).ok());
  }
  std::vector<std::string> said;
  ASSERT_TRUE(SendCheckpoints(output_, [&](const v1::GetCheckpointResponse& response) {
                said.push_back(response.has_head() ? response.head().name()
                                                   : response.part().name());
                return true;
              }).ok());
  EXPECT_THAT(said, ElementsAre("checkpoint-20", "a", "empty", "manifest.json", "checkpoint-100",
                                "a", "empty", "manifest.json"));
  EXPECT_EQ(SendCheckpoints(output_, [](const auto&) { return false; }).code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace anamnesis::coordinator
