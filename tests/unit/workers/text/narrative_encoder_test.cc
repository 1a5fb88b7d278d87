// SPDX-License-Identifier: Apache-2.0
// Ids of narratives encoded phrase by phrase against the whole text, and against transformers.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/workers/text/text_fixture.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::text {
namespace {

constexpr char kSeparator[] = ", ";

struct Narrative {
  std::vector<uint32_t> keys;
  std::vector<std::string_view> phrases;
  std::string text;
};

Narrative RandomNarrative(const std::vector<std::string>& table, PhiloxStream* random) {
  Narrative narrative;
  const uint64_t size = 1 + random->Below(12);
  for (uint64_t i = 0; i < size; ++i) {
    const uint32_t key = static_cast<uint32_t>(random->Below(table.size()));
    narrative.keys.push_back(key);
    narrative.phrases.push_back(table[key]);
    if (i > 0) narrative.text += kSeparator;
    narrative.text += table[key];
  }
  return narrative;
}

// Compares `count` random narratives with the whole text; returns how many consisted of phrases
// that may be encoded alone. Prints numbers, never text.
int CompareRandomNarratives(const Tokenizer& tokenizer, int count, uint64_t seed) {
  PhiloxStream random(seed, 1);
  const std::vector<std::string> table = OddPhrases(4000, &random);
  auto encoder = NarrativeEncoder::Create(tokenizer, kSeparator).value();
  std::vector<int32_t> ids;
  std::vector<uint32_t> unit_begin;
  int num_by_phrase = 0;
  for (int n = 0; n < count; ++n) {
    const Narrative narrative = RandomNarrative(table, &random);
    EXPECT_TRUE(encoder->Encode(narrative.keys, narrative.phrases, &ids, &unit_begin).ok());
    const Encoding whole = tokenizer.Encode(narrative.text, true).value();
    if (ids != whole.ids) {
      const auto at = std::mismatch(ids.begin(), ids.end(), whole.ids.begin(), whole.ids.end());
      const auto unit = std::upper_bound(unit_begin.begin(), unit_begin.end(),
                                         static_cast<uint32_t>(at.first - ids.begin()));
      ADD_FAILURE() << "seed " << seed << ", narrative " << n << ", phrase "
                    << unit - unit_begin.begin() - 1;
      return num_by_phrase;
    }
    EXPECT_EQ(unit_begin.size(), narrative.phrases.size());
    EXPECT_TRUE(std::is_sorted(unit_begin.begin(), unit_begin.end()));
    EXPECT_LE(unit_begin.back(), ids.size());
    num_by_phrase += std::all_of(
        narrative.phrases.begin(), narrative.phrases.end(),
        [&](std::string_view phrase) { return tokenizer.PhraseIsExact(phrase, kSeparator); });
  }
  return num_by_phrase;
}

TEST(NarrativeEncoder, GivesTheIdsOfTheWholeTextWithATrainedTokenizer) {
  const TemporaryFolder folder;
  TrainTokenizer(folder);
  const auto tokenizer = Tokenizer::FromDirectory(folder.path()).value();
  ASSERT_TRUE(tokenizer->phrase_exact());
  EXPECT_GT(CompareRandomNarratives(*tokenizer, 20'000, 1), 18'000);
}

TEST(NarrativeEncoder, GivesTheIdsOfTheWholeTextWithTheSharedTokenizers) {
  if (SharedDataFolder().empty()) GTEST_SKIP() << "shared data absent";
  for (const char* name : {"phi-3-mini", "llama2"}) {
    const TemporaryFolder folder;
    CopySharedTokenizer(name, folder);
    const auto tokenizer = Tokenizer::FromDirectory(folder.path()).value();
    EXPECT_GT(CompareRandomNarratives(*tokenizer, 100'000, 2), 90'000) << name;
  }
  for (const char* name : {"phi-2", "minilm-uncased", "falcon-tokenizer"}) {
    const TemporaryFolder folder;
    CopySharedTokenizer(name, folder);
    const auto tokenizer = Tokenizer::FromDirectory(folder.path()).value();
    CompareRandomNarratives(*tokenizer, 2'000, 3);
  }
}

TEST(NarrativeEncoder, GivesTheIdsOfTransformersForOddPhrases) {
  if (SharedDataFolder().empty()) GTEST_SKIP() << "shared data absent";
  if (OracleProgram().empty()) GTEST_SKIP() << "oracle absent";
  for (const char* name : {"phi-3-mini", "llama2"}) {
    const TemporaryFolder folder;
    CopySharedTokenizer(name, folder);
    const auto tokenizer = Tokenizer::FromDirectory(folder.path()).value();
    PhiloxStream random(4, 1);
    const std::vector<std::string> table = OddPhrases(3000, &random);
    auto encoder = NarrativeEncoder::Create(*tokenizer, kSeparator).value();
    std::string records;
    for (uint32_t n = 0; n < 5000; ++n) {
      const Narrative narrative = RandomNarrative(table, &random);
      std::vector<int32_t> ids;
      std::vector<uint32_t> unit_begin;
      ASSERT_TRUE(encoder->Encode(narrative.keys, narrative.phrases, &ids, &unit_begin).ok());
      AppendRecord(n, unit_begin, narrative.text, ids, &records);
    }
    folder.Write("narratives", records);
    EXPECT_TRUE(OracleAgrees(folder.File("tokenizer.json"), folder.File("narratives"))) << name;
  }
}

TEST(NarrativeEncoder, OwnsTheSpaceBeforeAPhraseAndTheSeparatorAfterIt) {
  const TemporaryFolder folder;
  TrainTokenizer(folder);
  const auto tokenizer = Tokenizer::FromDirectory(folder.path()).value();
  auto encoder = NarrativeEncoder::Create(*tokenizer, kSeparator).value();
  std::vector<int32_t> ids;
  std::vector<uint32_t> fast_begin;
  ASSERT_TRUE(
      encoder->Encode({0, 1, 2}, {"heart failure", "Glucose 5", "Sodium"}, &ids, &fast_begin).ok());
  const std::vector<int32_t> middle(ids.begin() + fast_begin[1], ids.begin() + fast_begin[2]);
  EXPECT_EQ(tokenizer->Decode(middle, true).value(), "Glucose 5,");
  // The whole text with its offsets draws the same borders: a special token forces that path.
  std::vector<uint32_t> slow_begin;
  ASSERT_TRUE(encoder
                  ->Encode({0, 1, 2, 3}, {"heart failure", "Glucose 5", "Sodium", "</s>"}, &ids,
                           &slow_begin)
                  .ok());
  EXPECT_EQ(std::vector<uint32_t>(slow_begin.begin(), slow_begin.end() - 1), fast_begin);
  EXPECT_EQ(ids.back(), 2);
}

TEST(NarrativeEncoder, GivesNothingForNoPhrases) {
  const TemporaryFolder folder;
  TrainTokenizer(folder);
  const auto tokenizer = Tokenizer::FromDirectory(folder.path()).value();
  auto encoder = NarrativeEncoder::Create(*tokenizer, kSeparator).value();
  std::vector<int32_t> ids = {1};
  std::vector<uint32_t> unit_begin = {1};
  ASSERT_TRUE(encoder->Encode({}, {}, &ids, &unit_begin).ok());
  EXPECT_TRUE(ids.empty());
  EXPECT_TRUE(unit_begin.empty());
}

}  // namespace
}  // namespace anamnesis::text
