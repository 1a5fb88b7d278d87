// SPDX-License-Identifier: Apache-2.0
#include "workers/model/init.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/temporary_folder.h"

namespace anamnesis::model {
namespace {

ModelConfig Small() {
  ModelConfig config;
  config.vocab_size = 100;
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.initializer_range = 0.05;
  return config;
}

std::vector<float> Values(const SafetensorsFile& file, const std::string& name) {
  const StoredTensor* tensor = file.Find(name);
  std::vector<float> values(static_cast<size_t>(tensor->NumElements()));
  EXPECT_TRUE(file.Read(*tensor, values.data()).ok());
  return values;
}

TEST(RandomLlama, HasTheSpreadOfTheConfigAndUnitNorms) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteRandomModel(Small(), 7, scratch.path()).ok());
  const auto file = SafetensorsFile::Open(scratch.File("model.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  double squares = 0;
  const std::vector<float> embedding = Values(*file, "model.embed_tokens.weight");
  for (const float value : embedding) squares += double{value} * value;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(embedding.size())), 0.05, 0.002);
  for (const float value : Values(*file, "model.norm.weight")) EXPECT_EQ(value, 1.0F);
  EXPECT_EQ(*ReadModelConfig(scratch.path()), Small());
}

TEST(RandomLlama, IsAFunctionOfItsSeed) {
  const TemporaryFolder a, b, c;
  ASSERT_TRUE(WriteRandomModel(Small(), 7, a.path()).ok());
  ASSERT_TRUE(WriteRandomModel(Small(), 7, b.path()).ok());
  ASSERT_TRUE(WriteRandomModel(Small(), 8, c.path()).ok());
  EXPECT_EQ(*FileSha256(a.File("model.safetensors")), *FileSha256(b.File("model.safetensors")));
  EXPECT_NE(*FileSha256(a.File("model.safetensors")), *FileSha256(c.File("model.safetensors")));
}

TEST(RandomLlama, MayBeStoredInBf16) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteRandomModel(Small(), 7, scratch.path(), StoredType::kBF16).ok());
  const auto file = SafetensorsFile::Open(scratch.File("model.safetensors"));
  EXPECT_EQ(file->Find("lm_head.weight")->type, StoredType::kBF16);
  EXPECT_EQ(ReadModelConfig(scratch.path())->dtype, "bfloat16");
}

}  // namespace
}  // namespace anamnesis::model
