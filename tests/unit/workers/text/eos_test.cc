// SPDX-License-Identifier: Apache-2.0
#include "workers/text/eos.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/workers/text/text_fixture.h"

namespace anamnesis::text {
namespace {

using ::testing::HasSubstr;

std::optional<int32_t> IdOf(const std::string& token) {
  if (token == "</s>") return 2;
  if (token == "<|end|>") return 32007;
  return std::nullopt;
}

TEST(EosId, IsReadFromTheFirstFileThatNamesOne) {
  struct Row {
    const char* config;
    const char* special;
    const char* model;
    int32_t expected;
  };
  const Row rows[] = {
      {R"({"eos_token": "</s>"})", R"({"eos_token": "<|end|>"})", R"({"eos_token_id": 9})", 2},
      {R"({"eos_token": {"content": "<|end|>"}})", nullptr, nullptr, 32007},
      {R"({"eos_token": null})", R"({"eos_token": {"content": "</s>"}})", nullptr, 2},
      {nullptr, nullptr, R"({"eos_token_id": 9})", 9},
      {"{}", "{}", R"({"eos_token_id": [11, 12]})", 11},
  };
  for (const Row& row : rows) {
    const TemporaryFolder folder;
    if (row.config != nullptr) folder.Write("tokenizer_config.json", row.config);
    if (row.special != nullptr) folder.Write("special_tokens_map.json", row.special);
    if (row.model != nullptr) folder.Write("config.json", row.model);
    const StatusOr<int32_t> id = ReadEosId(folder.path(), IdOf);
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_EQ(*id, row.expected);
  }
}

TEST(EosId, RefusesWhatDoesNotNameAToken) {
  struct Row {
    const char* file;
    const char* content;
    const char* error;
  };
  const Row rows[] = {
      {"config.json", "{}", "no end-of-document token"},
      {"config.json", R"({"eos_token_id": []})", "no end-of-document token"},
      {"config.json", R"({"eos_token_id": "two"})", "expected an id"},
      {"config.json", R"({"eos_token_id": -1})", "-1 is not a token id"},
      {"config.json", R"({"eos_token_id": 4294967298})", "is not a token id"},
      {"tokenizer_config.json", R"({"eos_token": 2})", "expected a string"},
      {"tokenizer_config.json", R"({"eos_token": "<|unheard|>"})", "not in the vocabulary"},
      {"tokenizer_config.json", "[]", "expected a JSON object"},
      {"tokenizer_config.json", R"({"eos_token": )", "tokenizer_config.json"},
  };
  for (const Row& row : rows) {
    const TemporaryFolder folder;
    folder.Write(row.file, row.content);
    const StatusOr<int32_t> id = ReadEosId(folder.path(), IdOf);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << row.content;
    EXPECT_THAT(MessageOf(id.status()), HasSubstr(row.error)) << row.content;
  }
}

}  // namespace
}  // namespace anamnesis::text
