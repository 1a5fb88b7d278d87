// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <map>

#include "common/hub/blob.h"
#include "common/hub/cache.h"
#include "common/hub/pull.h"
#include "common/hub/settings.h"
#include "common/io/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

StatusOr<HubSettings> SettingsOf(const std::map<std::string, std::string>& variables) {
  return ReadHubSettings([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  });
}

TEST(HubSettings, FollowTheVariablesOfHuggingfaceHub) {
  EXPECT_EQ(SettingsOf({{"HOME", "/h"}})->cache, "/h/.cache/huggingface/hub");
  EXPECT_EQ(SettingsOf({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}})->cache, "/x/huggingface/hub");
  EXPECT_EQ(SettingsOf({{"HOME", "/h"}, {"HF_HOME", "/f"}})->cache, "/f/hub");
  EXPECT_EQ(SettingsOf({{"HF_HOME", "/f"}, {"HF_HUB_CACHE", "/c"}})->cache, "/c");
  EXPECT_EQ(SettingsOf({{"HF_HOME", "/f"}, {"HF_ENDPOINT", "http://h:1//"}})->endpoint,
            "http://h:1");
  EXPECT_TRUE(SettingsOf({{"HF_HOME", "/f"}, {"HF_HUB_OFFLINE", "yes"}})->offline);
  EXPECT_FALSE(SettingsOf({{"HF_HOME", "/f"}, {"HF_HUB_OFFLINE", "0"}})->offline);
  EXPECT_EQ(SettingsOf({{"HF_HOME", "/f"}, {"HF_TOKEN", " t\n"}})->token, "t");
}

TEST(HubSettings, ReadTheTokenFromItsFile) {
  const TemporaryFolder folder;
  folder.Write("token", "abc\n");
  EXPECT_EQ(SettingsOf({{"HF_HOME", folder.path()}})->token, "abc");
  folder.Write("other", "def");
  EXPECT_EQ(
      SettingsOf({{"HF_HOME", folder.path()}, {"HF_TOKEN_PATH", folder.File("other")}})->token,
      "def");
}

TEST(HubSettings, SayWhatIsWrong) {
  EXPECT_THAT(MessageOf(SettingsOf({}).status()), HasSubstr("set HF_HUB_CACHE, HF_HOME or HOME"));
  EXPECT_THAT(MessageOf(SettingsOf({{"HOME", "/h"}, {"HF_ENDPOINT", "ftp://h"}}).status()),
              HasSubstr("HF_ENDPOINT"));
  const Status status = SettingsOf({{"HOME", "/h"}, {"HF_TOKEN", "a\nX-Header: b"}}).status();
  EXPECT_THAT(MessageOf(status), HasSubstr("characters that no header can hold"));
}

TEST(HubNames, ThatLeaveTheirFolderAreNoNames) {
  for (const char* good : {"gpt2", "org/name", "Org-1/na_me.v2"}) EXPECT_TRUE(IsModelId(good));
  for (const char* bad : {"", "/", "a/", "/a", "a/b/c", "..", "a/..", "a--b", ".a", "a b", "a\n"}) {
    EXPECT_FALSE(IsModelId(bad)) << bad;
  }
  for (const char* good : {"main", "refs/pr/1", "v1.0"}) EXPECT_TRUE(IsRevision(good));
  for (const char* bad : {"", "/x", "x/", "../x", "a//b", "a?b", "a b"}) {
    EXPECT_FALSE(IsRevision(bad)) << bad;
  }
}

TEST(ModelCache, FindsAWholeSnapshotByBranchAndByCommit) {
  const TemporaryFolder folder;
  const ModelCache cache(folder.path(), "org/name");
  const std::string snapshot = cache.snapshots() + "/c0ffee";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directories(cache.refs());
  ASSERT_TRUE(WriteFileDurably(cache.refs() + "/main", "c0ffee\n").ok());
  EXPECT_EQ(*cache.FindSnapshot("main"), std::nullopt);  // nothing in it
  ASSERT_TRUE(WriteFileDurably(snapshot + "/config.json", "{}").ok());
  EXPECT_EQ(*cache.FindSnapshot("main"), std::nullopt);  // no weights
  const std::string index = R"({"weight_map": {"a": "x.bin"}})";
  ASSERT_TRUE(WriteFileDurably(snapshot + "/pytorch_model.bin.index.json", index).ok());
  EXPECT_EQ(*cache.FindSnapshot("main"), std::nullopt);  // a shard is missing
  ASSERT_TRUE(WriteFileDurably(snapshot + "/x.bin", "").ok());
  EXPECT_EQ(*cache.FindSnapshot("main"), snapshot);
  EXPECT_EQ(*cache.FindSnapshot("c0ffee"), snapshot);
  EXPECT_EQ(*cache.FindSnapshot("v1"), std::nullopt);
}

TEST(ModelCache, AReferenceThatLeavesTheFolderIsNoSnapshot) {
  const TemporaryFolder folder;
  const ModelCache cache(folder.path(), "org/name");
  std::filesystem::create_directories(cache.refs());
  ASSERT_TRUE(WriteFileDurably(cache.refs() + "/main", "../../..").ok());
  EXPECT_EQ(*cache.FindSnapshot("main"), std::nullopt);
}

TEST(NeededFiles, AreTheModelInOneFormAndItsTokenizer) {
  EXPECT_THAT(NeededFiles({"README.md", "pytorch_model.bin", "model.safetensors", "vocab.txt",
                           "config.json", "tf_model.h5"}),
              ElementsAre("config.json", "vocab.txt", "model.safetensors"));
  EXPECT_THAT(NeededFiles({"adapter_config.json", "adapter_model.safetensors"}),
              ElementsAre("adapter_config.json", "adapter_model.safetensors"));
}

TEST(ShardsOfIndex, RefusesNamesThatLeaveTheFolder) {
  for (const char* name : {"../x", "/x", "a/b", ".hidden", ""}) {
    const std::string index = Cat(R"({"weight_map": {"a": ")", name, R"("}})");
    EXPECT_FALSE(ShardsOfIndex(index, "index").ok()) << name;
  }
  EXPECT_FALSE(ShardsOfIndex("[]", "index").ok());
}

TEST(BlobInfo, TakesTheTagOfALargeFileAndRefusesWhatIsNoDigest) {
  HttpResponse response;
  response.status = 302;
  response.headers = {{"etag", "\"x\""},
                      {"x-linked-etag", "\"" + std::string(64, 'a') + "\""},
                      {"x-linked-size", "12"}};
  EXPECT_EQ(BlobInfoOf(response, "u")->etag, std::string(64, 'a'));
  EXPECT_EQ(BlobInfoOf(response, "u")->size_bytes, 12u);
  response = HttpResponse();
  response.status = 200;
  response.headers = {{"etag", "W/\"" + std::string(40, '1') + "\""}, {"content-length", "7"}};
  EXPECT_EQ(BlobInfoOf(response, "u")->etag, std::string(40, '1'));
  EXPECT_EQ(BlobInfoOf(response, "u")->size_bytes, 7u);
  for (const char* tag : {"", "../../x", "\"short\""}) {
    response.headers["etag"] = tag;
    EXPECT_FALSE(BlobInfoOf(response, "u").ok()) << tag;
  }
}

}  // namespace
}  // namespace anamnesis::hub
