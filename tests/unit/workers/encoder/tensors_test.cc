// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::encoder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

EncoderConfig Config(const char* family) {
  EncoderConfig config = *EncoderConfigFromJson({{"model_type", family},
                                                 {"vocab_size", 50000},
                                                 {"pad_token_id", 0},
                                                 {"num_hidden_layers", 1},
                                                 {"n_layers", 1}},
                                                "config.json");
  EXPECT_TRUE(SetLabels(2, {}, &config).ok());
  return config;
}

// Every tensor of the classifier, as a checkpoint stores it.
std::vector<model::StoredTensor> Stored(const EncoderConfig& config) {
  std::vector<model::StoredTensor> out;
  for (const EncoderTensor& tensor : EncoderTensors(config)) {
    out.push_back({tensor.name, model::StoredType::kF32, tensor.shape, 0, 0});
  }
  return out;
}

void Erase(const std::string& part, std::vector<model::StoredTensor>* stored) {
  std::erase_if(*stored,
                [&](const auto& tensor) { return tensor.name.find(part) != std::string::npos; });
}

std::string ErrorOf(const EncoderConfig& config, const std::vector<model::StoredTensor>& stored) {
  const auto match = MatchWeights(config, stored, "base");
  EXPECT_FALSE(match.ok());
  EXPECT_EQ(ExitCodeOf(match.status()), 6);
  return MessageOf(match.status());
}

TEST(Decay, IsForWeightsThatAreNoNorms) {
  EXPECT_TRUE(Decays("bert.encoder.layer.0.attention.self.query.weight"));
  EXPECT_TRUE(Decays("bert.embeddings.word_embeddings.weight"));
  EXPECT_FALSE(Decays("bert.encoder.layer.0.attention.self.query.bias"));
  EXPECT_FALSE(Decays("bert.embeddings.LayerNorm.weight"));
  EXPECT_FALSE(Decays("distilbert.transformer.layer.0.sa_layer_norm.weight"));
  EXPECT_FALSE(Decays("model.layers.1.mlp_norm.weight"));
  EXPECT_FALSE(Decays("head.norm.weight"));
  EXPECT_TRUE(Decays("model.normal.weight"));
}

TEST(Weights, OfAClassifierFitWithoutANote) {
  for (const char* family : {"bert", "roberta", "distilbert", "electra", "modernbert"}) {
    const EncoderConfig config = Config(family);
    const auto match = MatchWeights(config, Stored(config), "base");
    ASSERT_TRUE(match.ok()) << match.status();
    EXPECT_EQ(match->note, "");
    EXPECT_EQ(match->stored_name.size(), EncoderTensors(config).size());
  }
}

TEST(Weights, AreFoundWithoutThePrefixAndByLegacyNames) {
  const EncoderConfig config = Config("bert");
  std::vector<model::StoredTensor> stored = Stored(config);
  for (auto& tensor : stored) {
    if (tensor.name.starts_with("bert.")) tensor.name = tensor.name.substr(5);
    if (tensor.name == "embeddings.LayerNorm.weight") tensor.name = "embeddings.LayerNorm.gamma";
    if (tensor.name == "embeddings.LayerNorm.bias") tensor.name = "embeddings.LayerNorm.beta";
  }
  const auto match = MatchWeights(config, stored, "base");
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_EQ(match->stored_name.at("bert.embeddings.LayerNorm.weight"),
            "embeddings.LayerNorm.gamma");
  EXPECT_EQ(match->stored_name.at("bert.pooler.dense.weight"), "pooler.dense.weight");
}

TEST(Weights, OfAMaskedLanguageModelLeaveAHeadToInitialise) {
  const EncoderConfig config = Config("bert");
  std::vector<model::StoredTensor> stored = Stored(config);
  Erase("classifier", &stored);
  Erase("pooler", &stored);
  stored.push_back({"cls.predictions.bias", model::StoredType::kF32, {50000}, 0, 0});
  stored.push_back({"bert.embeddings.position_ids", model::StoredType::kI64, {1, 512}, 0, 0});
  const auto match = MatchWeights(config, stored, "base");
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->initialised, ElementsAre("bert.pooler.dense.weight", "bert.pooler.dense.bias",
                                              "classifier.weight", "classifier.bias"));
  EXPECT_EQ(match->note,
            "new, initialised from the seed: bert.pooler.dense, classifier; not used: "
            "cls.predictions, bert.embeddings.position_ids");
}

TEST(Weights, MissingExtraDoubledAndMisshapedAreOneErrorThatNamesThem) {
  const EncoderConfig config = Config("bert");
  std::vector<model::StoredTensor> stored = Stored(config);
  Erase("self.query.bias", &stored);
  stored.push_back({"bert.extra.weight", model::StoredType::kF32, {1}, 0, 0});
  stored.push_back({"pooler.dense.weight", model::StoredType::kF32, {768, 768}, 0, 0});
  stored.front().shape = {50001, 768};
  stored[1].type = model::StoredType::kI64;
  const std::string text = ErrorOf(config, stored);
  EXPECT_THAT(text, HasSubstr("base: the weights do not fit config.json (bert, 2 classes)"));
  EXPECT_THAT(text, HasSubstr("missing (1): bert.encoder.layer.0.attention.self.query.bias"));
  EXPECT_THAT(text, HasSubstr("word_embeddings.weight [50001, 768] for [50000, 768]"));
  EXPECT_THAT(text, HasSubstr("position_embeddings.weight I64 for F32/BF16/F16"));
  EXPECT_THAT(text, HasSubstr("not expected (1): bert.extra.weight"));
  EXPECT_THAT(text, HasSubstr("there twice (1): pooler.dense.weight"));
}

TEST(Weights, OfAHeadWithOtherClassesOrHalfAHeadAreRefused) {
  EncoderConfig config = Config("bert");
  std::vector<model::StoredTensor> stored = Stored(config);
  ASSERT_TRUE(SetLabels(3, {}, &config).ok());
  EXPECT_THAT(ErrorOf(config, stored), HasSubstr("classifier.weight [2, 768] for [3, 768]"));
  stored = Stored(config);
  Erase("classifier.bias", &stored);
  EXPECT_THAT(ErrorOf(config, stored), HasSubstr("missing (1): classifier.bias"));
}

TEST(Weights, NoTensorsAtAllAreMissing) {
  EXPECT_THAT(ErrorOf(Config("distilbert"), {}), HasSubstr(" more"));
}

}  // namespace
}  // namespace anamnesis::encoder
