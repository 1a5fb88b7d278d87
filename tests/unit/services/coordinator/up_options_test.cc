// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/up_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::coordinator {
namespace {

std::optional<UpOptions> Parse(std::vector<std::string> words, int* exit_code) {
  words.insert(words.begin(), "up");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return ParseUpOptions(static_cast<int>(argv.size()), argv.data(), exit_code);
}

TEST(UpOptions, AreRightWithoutAWord) {
  ::setenv("ANAMNESIS_DATA_DIR", "/state/anamnesis", 1);
  int exit_code = -1;
  const auto options = Parse({}, &exit_code);
  ::unsetenv("ANAMNESIS_DATA_DIR");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->data_dir, "/state/anamnesis");
  EXPECT_EQ(options->slots, 0) << "what the machine has";
  EXPECT_EQ(options->threads_per_slot, 1);
  EXPECT_EQ(options->device, "auto");
  EXPECT_TRUE(options->roots.empty() && options->listen.empty() && options->metrics.empty());
  EXPECT_FALSE(options->insecure || options->detach);
  EXPECT_TRUE(options->allow_hub);
  EXPECT_EQ(exit_code, -1);
}

TEST(UpOptions, TakeEveryWord) {
  int exit_code = -1;
  const auto options =
      Parse({"--data-dir", "/a/./b/", "--slots", "3", "--threads-per-slot", "2", "--root",
             "/r/../x", "--root", "/y", "--listen", "127.0.0.1:0", "--token-file", "/t",
             "--metrics", "127.0.0.1:9", "--detach", "--hub", "deny"},
            &exit_code);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->data_dir, "/a/b");
  EXPECT_EQ(options->slots, 3);
  EXPECT_EQ(options->threads_per_slot, 2);
  EXPECT_THAT(options->roots, ::testing::ElementsAre("/x", "/y"));
  EXPECT_EQ(options->listen, "127.0.0.1:0");
  EXPECT_EQ(options->token_file, "/t");
  EXPECT_EQ(options->metrics, "127.0.0.1:9");
  EXPECT_TRUE(options->detach);
  EXPECT_FALSE(options->allow_hub);
}

TEST(UpOptions, AUsageErrorIsTwoAndHelpIsZero) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--slots", "0"}, {"--hub", "maybe"},     {"--slots", "many"}, {"--threads-per-slot", "-1"},
      {"--insecure"},   {"--token-file", "/t"}, {"--nonsense"},      {"stray"},
      {"--root"}};
  for (std::vector<std::string> words : wrong) {
    words.insert(words.end(), {"--data-dir", "/d"});
    int exit_code = -1;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(Parse(words, &exit_code)) << words[0];
    EXPECT_NE(testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(exit_code, 2) << words[0];
  }
  int exit_code = -1;
  testing::internal::CaptureStdout();
  EXPECT_FALSE(Parse({"--help"}, &exit_code));
  EXPECT_THAT(testing::internal::GetCapturedStdout(), ::testing::HasSubstr("--slots"));
  EXPECT_EQ(exit_code, 0);
}

TEST(UpOptions, KeepCheckpointsWhereTheyAreTold) {
  int exit_code = -1;
  const auto shared = Parse({}, &exit_code);
  ASSERT_TRUE(shared);
  EXPECT_TRUE(!shared->upload_checkpoints && shared->checkpoint_store.empty());
  const auto upload = Parse({"--checkpoints", "upload"}, &exit_code);
  ASSERT_TRUE(upload);
  EXPECT_TRUE(upload->upload_checkpoints && upload->checkpoint_store.empty());
  const auto store = Parse({"--checkpoints", "s3://my-bucket/runs/"}, &exit_code);
  ASSERT_TRUE(store);
  EXPECT_FALSE(store->upload_checkpoints);
  EXPECT_EQ(store->checkpoint_store, "s3://my-bucket/runs");
  for (const char* wrong : {"nfs", "s3:", "s3://", "s3://KEY:SECRET@my-bucket/runs"}) {
    EXPECT_FALSE(Parse({"--checkpoints", wrong}, &exit_code)) << wrong;
    EXPECT_EQ(exit_code, 2);
  }
}

}  // namespace
}  // namespace anamnesis::coordinator
