// SPDX-License-Identifier: Apache-2.0
#include "workers/text/phrase_exactness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/status.h"

namespace anamnesis::text {
namespace {

using ::testing::HasSubstr;

constexpr char kLlamaNormalizer[] =
    R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
    R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]})";

std::string TokenizerJson(const std::string& normalizer, const std::string& splitter,
                          const std::string& model) {
  return Cat(R"({"normalizer":)", normalizer, R"(,"pre_tokenizer":)", splitter, R"(,"model":)",
             model, "}");
}

PhraseExactness Read(const std::string& json,
                     std::vector<std::string> vocabulary = {"▁", "▁▁", "▁a", ","}) {
  const StatusOr<PhraseExactness> result = ReadPhraseExactness(json, "tokenizer.json", vocabulary);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(PhraseExactness{});
}

TEST(PhraseExactness, HoldsForSentencePieceStyleBpe) {
  const PhraseExactness llama = Read(
      TokenizerJson(kLlamaNormalizer, "null", R"({"type":"BPE","vocab":{"▁":0},"merges":[]})"));
  EXPECT_TRUE(llama.exact) << llama.reason;
  EXPECT_FALSE(llama.needs_plain_start);
  const char* split =
      R"({"type":"Split","pattern":{"String":"▁"},"behavior":"MergedWithNext","invert":false})";
  EXPECT_TRUE(Read(TokenizerJson(kLlamaNormalizer, split, R"({"type":"BPE"})")).exact);
  for (const char* extra : {R"("prepend_scheme":"first","split":false)",
                            R"("prepend_scheme":"always")", R"("add_prefix_space":true)"}) {
    const std::string metaspace = Cat(R"({"type":"Metaspace","replacement":"▁",)", extra, "}");
    const PhraseExactness result = Read(TokenizerJson("null", metaspace, R"({"type":"BPE"})"));
    EXPECT_TRUE(result.exact) << extra << ": " << result.reason;
    EXPECT_TRUE(result.needs_plain_start);
  }
}

TEST(PhraseExactness, IsDeniedWhereAJointCouldMatter) {
  struct Row {
    std::string normalizer, splitter, model, reason;
  };
  const Row rows[] = {
      {"null", "null", R"({"type":"BPE"})", "SentencePiece"},
      {R"({"type":"NFKC"})", "null", R"({"type":"BPE"})", "SentencePiece"},
      {"null", R"({"type":"ByteLevel"})", R"({"type":"BPE"})", "SentencePiece"},
      {kLlamaNormalizer,
       R"({"type":"Split","pattern":{"String":"▁"},"behavior":"Isolated","invert":false})",
       R"({"type":"BPE"})", "SentencePiece"},
      {kLlamaNormalizer, R"({"type":"Whitespace"})", R"({"type":"BPE"})", "SentencePiece"},
      {"null", R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never"})",
       R"({"type":"BPE"})", "SentencePiece"},
      {kLlamaNormalizer, "null", R"({"type":"Unigram"})", "not BPE"},
      {kLlamaNormalizer, "null", R"({"type":"WordPiece"})", "not BPE"},
      {kLlamaNormalizer, "null", R"({"type":"BPE","dropout":0.1})", "dropout"},
      {kLlamaNormalizer, "null", R"({"type":"BPE","ignore_merges":true})", "ignore_merges"},
      {kLlamaNormalizer, "null", R"({"type":"BPE","end_of_word_suffix":"</w>"})", "end_of_word"},
  };
  for (const Row& row : rows) {
    const PhraseExactness result = Read(TokenizerJson(row.normalizer, row.splitter, row.model));
    EXPECT_FALSE(result.exact) << row.model;
    EXPECT_THAT(result.reason, HasSubstr(row.reason));
  }
}

TEST(PhraseExactness, IsDeniedByOnePieceThatHoldsASpaceAfterAnotherCharacter) {
  const std::string json = TokenizerJson(kLlamaNormalizer, "null", R"({"type":"BPE"})");
  EXPECT_TRUE(Read(json, {"▁", "▁▁▁", "▁▁a"}).exact);
  EXPECT_FALSE(Read(json, {"▁", ",▁"}).exact);
  EXPECT_FALSE(Read(json, {"▁", "▁a▁"}).exact);
  EXPECT_FALSE(Read(json, {"a", ","}).exact) << "a space alone would be unknown";
}

TEST(PhraseExactness, RefusesWhatIsNoTokenizer) {
  for (const char* json : {"", "[]", "{}", R"({"model": 3})", R"({"model": {"type": )"}) {
    EXPECT_EQ(ReadPhraseExactness(json, "tokenizer.json", {}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << json;
  }
}

TEST(FoldMetaspace, WritesEveryMetaspaceAsASpace) {
  EXPECT_EQ(FoldMetaspace("▁a▁▁b é"), " a  b é");
  EXPECT_EQ(FoldMetaspace(""), "");
}

}  // namespace
}  // namespace anamnesis::text
