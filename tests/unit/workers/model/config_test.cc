// SPDX-License-Identifier: Apache-2.0
#include "workers/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::model {
namespace {

using testing::HasSubstr;

StatusOr<ModelConfig> Parse(const std::string& members) {
  const auto json = ParseJson("{\"model_type\": \"llama\"" + members + "}", "config.json");
  EXPECT_TRUE(json.ok()) << json.status();
  return ModelConfigFromJson(*json, "config.json");
}

TEST(ModelConfig, TakesHfsDefaultsForAbsentKeys) {
  const auto config = Parse("");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, ModelConfig());
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->eos_token_ids, std::vector<int64_t>{2});
}

TEST(ModelConfig, DerivesKeyValueHeadsAndHeadDim) {
  const auto config =
      Parse(", \"hidden_size\": 48, \"num_attention_heads\": 4, \"head_dim\": null");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->num_key_value_heads, 4);
  EXPECT_EQ(config->head_dim, 12);
}

TEST(ModelConfig, LetsHeadDimDifferFromHiddenOverHeads) {
  const auto config = Parse(", \"hidden_size\": 48, \"num_attention_heads\": 4, \"head_dim\": 10");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->head_dim, 10);
}

TEST(ModelConfig, ReadsAnEosListAndNulls) {
  EXPECT_EQ(Parse(", \"eos_token_id\": [2, 7]")->eos_token_ids, (std::vector<int64_t>{2, 7}));
  EXPECT_TRUE(Parse(", \"eos_token_id\": null")->eos_token_ids.empty());
  EXPECT_EQ(Parse(", \"bos_token_id\": null")->bos_token_id, -1);
}

TEST(ModelConfig, ReadsTheRopeOfTransformers4And5) {
  const RopeConfig five =
      Parse(
          ", \"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2, \"rope_theta\": 5e4}")
          ->rope;
  const RopeConfig four =
      Parse(", \"rope_theta\": 5e4, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}")->rope;
  EXPECT_EQ(five, four);
  EXPECT_EQ(five.type, "linear");
  EXPECT_EQ(five.theta, 5e4);
}

TEST(ModelConfig, ReadsLlama3Rope) {
  const auto config = Parse(
      ", \"max_position_embeddings\": 4096, \"rope_scaling\": {\"rope_type\": \"llama3\", "
      "\"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope.original_max_position_embeddings, 4096);  // HF's fallback
}

TEST(ModelConfig, ComesBackFromItsJson) {
  ModelConfig config;
  config.head_dim = 64;
  config.rope = {"llama3", 1e6, 4, 1, 4, 512};
  config.eos_token_ids = {3, 5};
  config.bos_token_id = -1;
  config.dtype = "bfloat16";
  const auto back = ModelConfigFromJson(ToJson(config), "config.json");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, config);
}

struct Refusal {
  std::string members;
  std::string text;
};

TEST(ModelConfig, RefusesWhatItCannotHonour) {
  const Refusal kCases[] = {
      {", \"hidden_act\": \"gelu\"", "hidden_act: gelu is not built yet; supported: silu"},
      {", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}",
       "rope_type: yarn is not built yet; supported: default, linear, llama3"},
      {", \"rope_parameters\": {\"rope_type\": \"linear\"}", "key 'factor' is missing"},
      {", \"partial_rotary_factor\": 0.5", "partial_rotary_factor: 0.5 is not built yet"},
      {", \"attention_dropout\": 0.1", "attention_dropout: 0.1 is not built yet"},
      {", \"quantization_config\": {}", "quantization_config is not built yet"},
      {", \"vocab_size\": \"many\"", "key 'vocab_size': expected an integer, found string"},
      {", \"vocab_size\": 0", "key 'vocab_size': expected an integer from 1"},
      {", \"hidden_size\": 18446744073709551615", "key 'hidden_size': expected an integer from 1"},
      {", \"num_key_value_heads\": 5", "is not a multiple of num_key_value_heads 5"},
      {", \"hidden_size\": 50", "hidden_size 50 is not a multiple of num_attention_heads 32"},
      {", \"head_dim\": 11", "head_dim 11: expected an even number"},
      {", \"eos_token_id\": \"x\"", "key 'eos_token_id'"},
      {", \"dtype\": \"int8\"", "dtype: expected float32, bfloat16 or float16"}};
  for (const Refusal& row : kCases) {
    const auto config = Parse(row.members);
    EXPECT_EQ(ExitCodeOf(config.status()), 6) << row.members;
    EXPECT_THAT(MessageOf(config.status()), HasSubstr(row.text));
    EXPECT_THAT(MessageOf(config.status()), HasSubstr("config.json"));
  }
}

TEST(ModelConfig, RefusesOtherModelTypesWithTheSupportedList) {
  const Json mistral = {{"model_type", "mistral"}}, gpt2 = {{"model_type", "gpt2"}};
  const Status planned = ModelConfigFromJson(mistral, "c").status();
  EXPECT_EQ(MessageOf(planned), "c: model_type: mistral is not built yet; supported: llama");
  const Status unknown = ModelConfigFromJson(gpt2, "c").status();
  EXPECT_EQ(MessageOf(unknown), "c: model_type: 'gpt2' is not supported; supported: llama");
  EXPECT_EQ(ExitCodeOf(planned), 6);
  EXPECT_EQ(ExitCodeOf(unknown), 6);
  EXPECT_EQ(ExitCodeOf(ModelConfigFromJson(Json::object(), "c").status()), 6);
}

}  // namespace
}  // namespace anamnesis::model
