// SPDX-License-Identifier: Apache-2.0
#include "workers/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/workers/text/text_fixture.h"

namespace anamnesis::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<Tokenizer> Shared(const std::string& name) {
  const TemporaryFolder folder;
  CopySharedTokenizer(name, folder);
  auto tokenizer = Tokenizer::FromDirectory(folder.path());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

TEST(Tokenizer, EncodesAndDecodesATrainedVocabulary) {
  const TemporaryFolder folder;
  TrainTokenizer(folder);
  const auto tokenizer = Tokenizer::FromDirectory(folder.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::string text = "heart failure, Glucose 12, \xC3\xA9";
  const StatusOr<Encoding> encoding = (*tokenizer)->Encode(text, true);
  ASSERT_TRUE(encoding.ok()) << encoding.status();
  EXPECT_EQ(encoding->ids.size(), encoding->begin_bytes.size());
  EXPECT_EQ((*tokenizer)->Decode(encoding->ids, true).value(), text);
  EXPECT_TRUE((*tokenizer)->phrase_exact());
  EXPECT_EQ((*tokenizer)->eos_id().value(), 2);
  EXPECT_TRUE((*tokenizer)->ContainsSpecial("a </s> b"));
  EXPECT_FALSE((*tokenizer)->ContainsSpecial("a </ s> b"));
}

TEST(Tokenizer, DigestFollowsTheEosChoice) {
  const TemporaryFolder folder;
  TrainTokenizer(folder);
  const std::string before = Tokenizer::FromDirectory(folder.path()).value()->sha256();
  EXPECT_EQ(Tokenizer::FromDirectory(folder.path()).value()->sha256(), before);
  folder.Write("tokenizer_config.json", R"({"eos_token": "<s>"})");
  EXPECT_NE(Tokenizer::FromDirectory(folder.path()).value()->sha256(), before);
}

TEST(Tokenizer, RefusesAFolderWithoutAReadableTokenizer) {
  const TemporaryFolder folder;
  EXPECT_EQ(Tokenizer::FromDirectory(folder.path()).status().code(),
            absl::StatusCode::kInvalidArgument);
  folder.Write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"secret)");
  const Status broken = Tokenizer::FromDirectory(folder.path()).status();
  EXPECT_EQ(broken.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(broken), HasSubstr("tokenizer.json"));
  EXPECT_THAT(MessageOf(broken), Not(HasSubstr("secret")));
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const TemporaryFolder folder;
  TrainTokenizer(folder);
  const auto tokenizer = Tokenizer::FromDirectory(folder.path());
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ((*tokenizer)->Encode("a\xFF", false).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Tokenizer, ReadsBosAndEosOfTheSharedTokenizers) {
  if (SharedDataFolder().empty()) GTEST_SKIP() << "shared data absent";
  const auto phi = Shared("phi-3-mini");
  EXPECT_THAT(phi->prefix_ids(), IsEmpty());
  EXPECT_THAT(phi->suffix_ids(), IsEmpty());
  EXPECT_EQ(phi->eos_id().value(), 32000);
  EXPECT_EQ(phi->vocab_size(), 32011);
  const auto llama = Shared("llama2");
  EXPECT_THAT(llama->prefix_ids(), ElementsAre(1));
  EXPECT_EQ(llama->eos_id().value(), 2);
  const auto minilm = Shared("minilm-uncased");
  EXPECT_THAT(minilm->prefix_ids(), ElementsAre(101));
  EXPECT_THAT(minilm->suffix_ids(), ElementsAre(102));
  EXPECT_EQ(Shared("falcon-tokenizer")->eos_id().status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Tokenizer, KnowsWhichSharedTokenizersAllowPhraseByPhrase) {
  if (SharedDataFolder().empty()) GTEST_SKIP() << "shared data absent";
  for (const char* name : {"phi-3-mini", "llama2"}) {
    const auto tokenizer = Shared(name);
    EXPECT_TRUE(tokenizer->phrase_exact()) << name;
    EXPECT_TRUE(tokenizer->SeparatorIsExact(", ")) << name;
    for (const char* separator : {"", " ", ",", ",  ", ",\xE2\x96\x81", "; \n"}) {
      EXPECT_FALSE(tokenizer->SeparatorIsExact(separator)) << name;
    }
  }
  for (const char* name : {"phi-2", "falcon-tokenizer", "minilm-uncased"}) {
    EXPECT_FALSE(Shared(name)->phrase_exact()) << name;
  }
}

}  // namespace
}  // namespace anamnesis::text
