// SPDX-License-Identifier: Apache-2.0
#include "workers/model/weight_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"
#include "workers/model/init.h"

namespace anamnesis::model {
namespace {

using testing::HasSubstr;

ModelConfig Tiny() {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.intermediate_size = 6;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 6;
  return config;
}

// Splits a directory's one weight file into two shards with an index.
void Shard(const std::string& directory) {
  auto whole = SafetensorsFile::Open(directory + "/model.safetensors");
  Json map = Json::object();
  for (int shard = 0; shard < 2; ++shard) {
    const std::string name = Cat("model-0000", shard + 1, "-of-00002.safetensors");
    std::vector<std::string> data;
    std::vector<TensorView> views;
    for (size_t i = 0; i < whole->tensors().size(); ++i) {
      if (i % 2 != static_cast<size_t>(shard)) continue;
      const StoredTensor& tensor = whole->tensors()[i];
      data.emplace_back(tensor.size_bytes, '\0');
      ASSERT_TRUE(whole->Read(tensor, data.back().data()).ok());
      views.push_back({tensor.name, tensor.type, tensor.shape, nullptr});
      map[tensor.name] = name;
    }
    for (size_t i = 0; i < views.size(); ++i) views[i].data = data[i].data();
    ASSERT_TRUE(WriteSafetensors(directory + "/" + name, views).ok());
  }
  std::filesystem::remove(directory + "/model.safetensors");
  const Json index = {{"metadata", Json::object()}, {"weight_map", map}};
  ASSERT_TRUE(WriteFileDurably(directory + "/model.safetensors.index.json", index.dump()).ok());
}

TEST(WeightFiles, HoldEveryExpectedTensor) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteRandomModel(Tiny(), 1, scratch.path()).ok());
  const auto files = WeightFiles::Open(scratch.path());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_TRUE(files->CheckAgainst(ExpectedTensors(Tiny())).ok());
}

TEST(WeightFiles, ReadShardsByTheirIndex) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteRandomModel(Tiny(), 1, scratch.path()).ok());
  Shard(scratch.path());
  const auto files = WeightFiles::Open(scratch.path());
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->files().size(), 2);
  EXPECT_TRUE(files->CheckAgainst(ExpectedTensors(Tiny())).ok());
}

TEST(WeightFiles, NameMissingExtraAndMisshapedTensors) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteRandomModel(Tiny(), 1, scratch.path()).ok());
  const auto files = WeightFiles::Open(scratch.path());
  std::vector<ExpectedTensor> expected = ExpectedTensors(Tiny());
  expected.front().shape = {12, 8};
  expected.back().name = "score.weight";
  const std::string text = MessageOf(files->CheckAgainst(expected));
  EXPECT_THAT(text, HasSubstr("missing (1): score.weight"));
  EXPECT_THAT(text, HasSubstr("misshaped (1): model.embed_tokens.weight [11, 8] for [12, 8]"));
  EXPECT_EQ(ExitCodeOf(files->CheckAgainst(expected)), 6);
  expected = ExpectedTensors(Tiny());
  expected.erase(expected.begin() + 1);
  EXPECT_THAT(MessageOf(files->CheckAgainst(expected)),
              HasSubstr("not expected (1): model.layers.0.input_layernorm.weight"));
}

TEST(WeightFiles, IgnoreAHeadBesideTiedEmbeddings) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteRandomModel(Tiny(), 1, scratch.path()).ok());
  ModelConfig tied = Tiny();
  tied.tie_word_embeddings = true;
  EXPECT_TRUE(WeightFiles::Open(scratch.path())->CheckAgainst(ExpectedTensors(tied)).ok());
}

TEST(WeightFiles, RefuseAnEmptyDirectoryAndATruncatedFile) {
  const TemporaryFolder scratch;
  EXPECT_EQ(ExitCodeOf(WeightFiles::Open(scratch.path()).status()), 6);
  ASSERT_TRUE(WriteRandomModel(Tiny(), 1, scratch.path()).ok());
  std::filesystem::resize_file(scratch.File("model.safetensors"), 900);
  const Status status = WeightFiles::Open(scratch.path()).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status), HasSubstr("model.safetensors"));
}

TEST(WeightFiles, RefuseAnIndexThatLeavesTheFolder) {
  const TemporaryFolder scratch;
  ASSERT_TRUE(WriteFileDurably(scratch.File("model.safetensors.index.json"),
                               R"({"weight_map": {"a": "../x.safetensors"}})")
                  .ok());
  EXPECT_THAT(MessageOf(WeightFiles::Open(scratch.path()).status()), HasSubstr("in this folder"));
}

TEST(ModelDigest, TellsBasesApartByConfigAndHeaders) {
  const TemporaryFolder a, b;
  ModelConfig other = Tiny();
  other.norm_eps = 1e-5;
  ASSERT_TRUE(WriteRandomModel(Tiny(), 1, a.path()).ok());
  ASSERT_TRUE(WriteRandomModel(other, 1, b.path()).ok());
  EXPECT_EQ(*ModelDigest(a.path()), *ModelDigest(a.path()));
  EXPECT_NE(*ModelDigest(a.path()), *ModelDigest(b.path()));
}

}  // namespace
}  // namespace anamnesis::model
