// SPDX-License-Identifier: Apache-2.0
#include "workers/text/tokenizer_json.h"

#include "common/io/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_folder.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kVocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nheart\n##s\nrate\n,\n";

std::string JsonErrorOf(const TemporaryFolder& folder) {
  const auto json = ReadTokenizerJson(folder.path());
  return json.ok() ? "no error" : MessageOf(json.status());
}

TEST(TokenizerJson, AVocabTxtGivesAWordPieceTokenizerWithItsTemplate) {
  const TemporaryFolder folder;
  folder.Write("vocab.txt", kVocab);
  EXPECT_TRUE(NeedsTokenizerJson(folder.path()));
  const auto tokenizer = Tokenizer::FromDirectory(folder.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->prefix_ids(), ElementsAre(2));
  EXPECT_THAT((*tokenizer)->suffix_ids(), ElementsAre(3));
  EXPECT_EQ((*tokenizer)->vocab_size(), 9);
  EXPECT_FALSE((*tokenizer)->phrase_exact());
  EXPECT_THAT((*tokenizer)->Encode("Hearts, rate x", false)->ids, ElementsAre(5, 6, 8, 7, 1));
}

TEST(TokenizerJson, WhatIsBuiltLoadsAsATokenizerJsonWithTheSameIdentity) {
  const TemporaryFolder folder;
  folder.Write("vocab.txt", kVocab);
  const auto built = Tokenizer::FromDirectory(folder.path());
  const auto json = ReadTokenizerJson(folder.path());
  ASSERT_TRUE(built.ok() && json.ok());
  folder.Write("tokenizer.json", json->content);
  EXPECT_FALSE(NeedsTokenizerJson(folder.path()));
  EXPECT_EQ((*Tokenizer::FromDirectory(folder.path()))->sha256(), (*built)->sha256());
}

TEST(TokenizerJson, ATokenizerJsonIsTakenAsItIs) {
  const TemporaryFolder folder;
  folder.Write("vocab.txt", kVocab);
  folder.Write("tokenizer.json", "{}");
  EXPECT_EQ(ReadTokenizerJson(folder.path())->content, "{}");
}

TEST(TokenizerJson, RefusesOtherTokenizersByName) {
  const struct {
    const char* name;
    const char* content;
    const char* error;
  } kRows[] = {
      {"tokenizer_config.json", R"({"tokenizer_class": "BertJapaneseTokenizer"})",
       "tokenizer_class: 'BertJapaneseTokenizer' with vocab.txt"},
      {"tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer"})", "with vocab.txt"},
      {"config.json", R"({"model_type": "tapas"})", "model_type: 'tapas' with vocab.txt"}};
  for (const auto& row : kRows) {
    const TemporaryFolder folder;
    folder.Write("vocab.txt", kVocab);
    folder.Write(row.name, row.content);
    EXPECT_EQ(ReadTokenizerJson(folder.path()).status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(JsonErrorOf(folder), HasSubstr(row.error));
  }
  const TemporaryFolder folder;
  folder.Write("vocab.json", "{}");
  folder.Write("merges.txt", "");
  folder.Write("config.json", R"({"model_type": "qwen2"})");
  EXPECT_THAT(JsonErrorOf(folder), HasSubstr("'qwen2' with vocab.json and merges.txt"));
}

TEST(TokenizerJson, SaysWhatIsWrongInSettingsAndVocabularies) {
  const struct {
    const char* name;
    const char* content;
    const char* error;
  } kRows[] = {
      {"tokenizer_config.json", "[]", "tokenizer_config.json: expected a JSON object"},
      {"tokenizer_config.json", R"({"do_lower_case": "yes"})", "do_lower_case: expected true"},
      {"tokenizer_config.json", R"({"strip_accents": 1})", "strip_accents: expected true"},
      {"tokenizer_config.json", R"({"cls_token": 3})", "cls_token: expected a string or an object"},
      {"tokenizer_config.json", R"({"cls_token": "<s>"})", "the cls_token is not among its 9"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": "[PAD]"}})", "ids as keys"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"1": "[PAD]"}})",
       "the added token of id 1 and the vocabulary disagree"},
      {"added_tokens.json", R"({"new": 4})", "the added token of id 4 and the vocabulary disagree"},
      {"added_tokens.json", R"({"new": -1})", "expected ids of tokens"},
      {"added_tokens.json", R"({"a": 9, "b": 9})", "two tokens have the id 9"},
      {"vocab.txt", "[PAD]\n", "vocab.txt: the unk_token is not among its 1 tokens"},
      {"vocab.txt", "[UNK]\n[CLS]\n[SEP]\n\xff\n", "vocab.txt: not UTF-8 text"}};
  for (const auto& row : kRows) {
    const TemporaryFolder folder;
    folder.Write("vocab.txt", kVocab);
    folder.Write(row.name, row.content);
    EXPECT_THAT(JsonErrorOf(folder), HasSubstr(row.error)) << row.content;
  }
}

TEST(TokenizerJson, RefusesMergesThatAreNoPairs) {
  for (const char* merges : {"#version: 0.2\na\n", "#version: 0.2\na b c\n", "#version\n a\n"}) {
    const TemporaryFolder folder;
    folder.Write("vocab.json", R"({"<|endoftext|>": 0})");
    folder.Write("merges.txt", merges);
    folder.Write("config.json", R"({"model_type": "gpt2"})");
    EXPECT_THAT(JsonErrorOf(folder), HasSubstr("merges.txt: line 2: expected two pieces"));
  }
}

TEST(TokenizerJson, NamesTheFileWhereThereIsNone) {
  const TemporaryFolder folder;
  EXPECT_FALSE(NeedsTokenizerJson(folder.path()));
  EXPECT_THAT(JsonErrorOf(folder), HasSubstr("tokenizer.json"));
}

}  // namespace
}  // namespace anamnesis::text
