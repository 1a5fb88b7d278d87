// SPDX-License-Identifier: Apache-2.0
// Seeded random and broken input: an answer each time, no exception, no crash, no hang.
#include <gtest/gtest.h>

#include "common/base/philox.h"
#include "common/config/entries.h"
#include "common/config/schema.h"
#include "common/config/yaml_document.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using testing::Slurp;
using testing::SourceFile;

// Reads `text` as a file's content would be read, without a file.
void Digest(const std::string& text) {
  const auto root = ParseYaml(text, "x.yaml");
  if (!root.ok()) {
    EXPECT_FALSE(MessageOf(root.status()).empty());
    return;
  }
  Entries entries;
  ReadEntries(*root, "x.yaml", entries);
  EXPECT_LT(TextOf(entries.problems).size(), 60'000U);
}

std::string RandomText(PhiloxStream& random, const std::string& alphabet, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text += alphabet[random.Below(alphabet.size())];
  return text;
}

TEST(HostileText, RandomBytesGetAnAnswer) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  PhiloxStream random(20260101, 1);
  for (int i = 0; i < 500; ++i) Digest(RandomText(random, bytes, random.Below(200)));
}

TEST(HostileText, RandomYamlPunctuationGetsAnAnswer) {
  const std::string alphabet = "ab1 \n\n  :::--[]{},?&*!|>'\"%@`#~<.\t=\\";
  PhiloxStream random(20260101, 2);
  for (int i = 0; i < 3000; ++i) Digest(RandomText(random, alphabet, random.Below(120)));
}

TEST(HostileText, MutationsOfTheSeedsFileGetAnAnswer) {
  const std::string seed = Slurp(SourceFile("configs/jobs/llm_pretrain.yaml"));
  ASSERT_FALSE(seed.empty());
  PhiloxStream random(20260101, 3);
  for (int i = 0; i < 1500; ++i) {
    std::string text = seed;
    for (uint64_t edits = 1 + random.Below(4); edits > 0; --edits) {
      const size_t at = random.Below(text.size());
      switch (random.Below(4)) {
        case 0:
          text[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          text.erase(at, random.Below(20));
          break;
        case 2:
          text.insert(at, text.substr(random.Below(text.size()), random.Below(30)));
          break;
        default:
          text.resize(at + 1);
      }
    }
    Digest(text);
  }
}

TEST(HostileText, EveryPrefixOfTheSeedsFileGetsAnAnswer) {
  const std::string seed = Slurp(SourceFile("configs/jobs/llm_pretrain.yaml"));
  for (size_t length = 0; length <= seed.size(); ++length) Digest(seed.substr(0, length));
}

TEST(HostileText, LargeRepetitionsGetAnAnswer) {
  for (const char* piece : {"[",   "{",   "- ",   "? ",          "a: ",       "a:\n ",
                            "&a ", "*a ", "\"",   "'",           "| \n",      "%",
                            ": ",  "a, ", "[a, ", "{a: ",        "- - - a\n", "a: [\n",
                            "#",   "\n",  "!",    "\xEF\xBB\xBF"}) {
    std::string text;
    while (text.size() < 60'000) text += piece;
    Digest(text);
  }
}

TEST(HostileOverrides, GetAnAnswer) {
  const std::string alphabet = "ab1 \n:-[]{},?&*!|>'\"%.=\\";
  PhiloxStream random(20260101, 4);
  for (const KeyRow& row : Schema()) {
    for (int i = 0; i < 30; ++i) {
      Entries entries;
      ApplyOverride(Cat(row.path, "=", RandomText(random, alphabet, random.Below(20))), entries);
      EXPECT_LE(entries.by_key.size() + entries.problems.size(), 1U);
    }
  }
}

}  // namespace
}  // namespace anamnesis::config
