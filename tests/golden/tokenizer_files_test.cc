// SPDX-License-Identifier: Apache-2.0
// Directories without tokenizer.json give the ids of transformers' AutoTokenizer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/io/file.h"
#include "common/io/json.h"
#include "tests/golden/oracle.h"
#include "workers/text/tokenizer.h"
#include "workers/text/tokenizer_json.h"

namespace anamnesis::text {
namespace {

// Number of the texts in expected.json whose ids differ; the first three are printed.
int NumDiffering(const Tokenizer& tokenizer, const Json& expected, const std::string& name) {
  int num_differing = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto encoding = tokenizer.Encode(expected[i]["text"].get<std::string>(), false);
    EXPECT_TRUE(encoding.ok()) << name << " text " << i << ": " << encoding.status();
    if (!encoding.ok()) continue;
    std::vector<int32_t> ids = tokenizer.prefix_ids();
    ids.insert(ids.end(), encoding->ids.begin(), encoding->ids.end());
    ids.insert(ids.end(), tokenizer.suffix_ids().begin(), tokenizer.suffix_ids().end());
    if (ids == expected[i]["ids"].get<std::vector<int32_t>>()) continue;
    if (++num_differing <= 3)
      ADD_FAILURE() << name << " text " << i << ": " << Json(ids).dump() << "\nexpected "
                    << expected[i]["ids"].dump();
  }
  return num_differing;
}

TEST(TokenizerFiles, GiveTheIdsOfAutoTokenizer) {
  if (!golden::OracleIsPresent()) GTEST_SKIP() << "oracle absent";
  const std::string out = golden::ScratchDirectory("tokenizers");
  int status = 0;
  const std::string output = golden::RunOracle("tokenizer_files.py", out, &status);
  ASSERT_EQ(status, 0) << output;
  const std::vector<std::string> names = *ListDirectory(out);
  ASSERT_EQ(names.size(), 14u);
  for (const std::string& name : names) {
    const std::string directory = Cat(out, "/", name);
    EXPECT_TRUE(NeedsTokenizerJson(directory));
    const auto tokenizer = Tokenizer::FromDirectory(directory);
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status();
    const auto expected = ReadJsonFile(directory + "/expected.json");
    ASSERT_TRUE(expected.ok());
    EXPECT_GT(expected->size(), 300u);
    EXPECT_EQ(NumDiffering(**tokenizer, *expected, name), 0) << name;
  }
}

}  // namespace
}  // namespace anamnesis::text
