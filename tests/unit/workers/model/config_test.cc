// SPDX-License-Identifier: Apache-2.0
#include "workers/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace anamnesis::model {
namespace {

using testing::HasSubstr;

StatusOr<ModelConfig> ParseAs(const std::string& type, const std::string& members) {
  const auto json = ParseJson(Cat("{\"model_type\": \"", type, "\"", members, "}"), "config.json");
  EXPECT_TRUE(json.ok()) << json.status();
  return ModelConfigFromJson(*json, "config.json");
}

StatusOr<ModelConfig> Parse(const std::string& members) { return ParseAs("llama", members); }

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
      {", \"hidden_act\": \"quick_gelu\"",
       "hidden_act: quick_gelu is not built; supported: silu, gelu, gelu_new, gelu_pytorch_tanh, "
       "relu"},
      {", \"rope_scaling\": {\"rope_type\": \"axial\", \"factor\": 2}",
       "rope_type: axial is not built; supported: default, linear, dynamic, llama3, longrope, "
       "yarn"},
      {", \"rope_parameters\": {\"rope_type\": \"linear\"}", "key 'factor' is missing"},
      {", \"rope_parameters\": {\"rope_type\": \"longrope\"}", "key 'short_factor' is missing"},
      {", \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": [1], "
       "\"long_factor\": [1]}",
       "short_factor has 1 numbers, expected half the rotated width, 64"},
      {", \"rope_parameters\": {\"full_attention\": {}}", "a rope by layer type is for gemma3"},
      {", \"rope_parameters\": 7", "rope_parameters: expected an object, found number"},
      {", \"rope_theta\": 0", "key 'rope_theta': expected above 0"},
      {", \"partial_rotary_factor\": 0.5", "partial_rotary_factor: 0.5 is not built for llama"},
      {", \"attention_dropout\": 0.1", "attention_dropout: 0.1 is not built; supported: 0"},
      {", \"vocab_size\": \"many\"", "key 'vocab_size': expected an integer, found string"},
      {", \"vocab_size\": 0", "key 'vocab_size': expected an integer from 1"},
      {", \"hidden_size\": 18446744073709551615", "key 'hidden_size': expected an integer from 1"},
      {", \"num_key_value_heads\": 5", "is not a multiple of num_key_value_heads 5"},
      {", \"hidden_size\": 50", "hidden_size 50 is not a multiple of num_attention_heads 32"},
      {", \"head_dim\": 11", "a rotated width of 11 of head_dim 11: expected an even number"},
      {", \"rms_norm_eps\": 0", "key 'rms_norm_eps': expected above 0"},
      {", \"eos_token_id\": \"x\"", "key 'eos_token_id'"},
      {", \"dtype\": \"int8\"", "dtype: expected float32, bfloat16 or float16"}};
  for (const Refusal& row : kCases) {
    const auto config = Parse(row.members);
    EXPECT_EQ(ExitCodeOf(config.status()), 6) << row.members;
    EXPECT_THAT(MessageOf(config.status()), HasSubstr(row.text));
    EXPECT_THAT(MessageOf(config.status()), HasSubstr("config.json"));
  }
}

TEST(ModelConfig, RefusesWhatAFamilyCannotHonour) {
  const struct {
    std::string type, members, text;
  } kCases[] = {
      {"phi3", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}",
       "rope_type: linear is not built for phi3; supported: default, longrope"},
      {"phi", ", \"resid_pdrop\": 1", "expected 0 ≤ p < 1"},
      {"phi", ", \"qk_layernorm\": true, \"head_dim\": 32", "qk_layernorm needs hidden_size"},
      {"gemma3_text", ", \"attn_logit_softcapping\": 50", "is not built for gemma3"},
      {"gemma3_text", ", \"rope_parameters\": {\"rope_type\": \"default\"}",
       "expected an object with full_attention and sliding_attention"},
      {"gemma3_text", ", \"use_bidirectional_attention\": true", "is not built"},
      {"gemma2", ", \"sliding_window\": null", "without a sliding_window"},
      {"gemma2", ", \"layer_types\": [\"full_attention\"]", "expected a list of 26"},
      {"qwen2", ", \"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]",
       "supported: full_attention, sliding_attention"}};
  for (const auto& row : kCases) {
    const auto config = ParseAs(row.type, row.members);
    EXPECT_EQ(ExitCodeOf(config.status()), 6) << row.members;
    EXPECT_THAT(MessageOf(config.status()), HasSubstr(row.text));
  }
}

TEST(ModelConfig, RefusesOtherModelTypesWithTheSupportedList) {
  const Json gpt2 = {{"model_type", "gpt2"}};
  const Status unknown = ModelConfigFromJson(gpt2, "c").status();
  EXPECT_EQ(MessageOf(unknown),
            "c: model_type: gpt2 is not built; supported: llama, mistral, phi, phi3, gemma, "
            "gemma2, gemma3_text, gemma3 (its text model), qwen2, qwen3");
  EXPECT_EQ(ExitCodeOf(unknown), 6);
  EXPECT_EQ(ExitCodeOf(ModelConfigFromJson(Json::object(), "c").status()), 6);
}

TEST(ModelConfig, TakesEachFamilysDefaults) {
  const auto mistral = ParseAs("mistral", "");
  ASSERT_TRUE(mistral.ok()) << mistral.status();
  EXPECT_EQ(mistral->num_key_value_heads, 8);
  EXPECT_EQ(mistral->WindowOf(31), 4096);
  EXPECT_EQ(ParseAs("mistral", ", \"sliding_window\": null")->WindowOf(0), 0);
  EXPECT_EQ(ParseAs("mistral", ", \"num_key_value_heads\": null")->num_key_value_heads, 32);
  const auto phi = ParseAs("phi", "");
  EXPECT_EQ(RotaryDim(phi->rope, phi->head_dim), 32);
  EXPECT_TRUE(phi->head_bias && phi->qkv_bias && phi->mlp_bias && phi->o_bias);
  EXPECT_EQ(ParseAs("phi", ", \"resid_pdrop\": 0.1")->resid_pdrop, 0.1);
  const auto gemma2 = ParseAs("gemma2", "");
  EXPECT_EQ(gemma2->WindowOf(0), 4096);
  EXPECT_EQ(gemma2->WindowOf(1), 0);
  EXPECT_EQ(gemma2->attn_logit_softcapping, 50);
  EXPECT_EQ(ParseAs("gemma2", ", \"final_logit_softcapping\": null")->final_logit_softcapping, 0);
  EXPECT_EQ(gemma2->head_dim, 256);
  EXPECT_TRUE(gemma2->tie_word_embeddings);
  EXPECT_EQ(ParseAs("gemma", ", \"hidden_act\": \"gelu\"")->hidden_act, "gelu_pytorch_tanh");
  EXPECT_EQ(ParseAs("qwen2", "")->sliding_window, 0);
  const auto qwen2 = ParseAs("qwen2", ", \"use_sliding_window\": true");
  EXPECT_EQ(qwen2->WindowOf(27), 0);
  EXPECT_EQ(qwen2->WindowOf(28), 4096);
  EXPECT_EQ(ParseAs("qwen3", "")->head_dim, 128);
  EXPECT_EQ(ParseAs("qwen3", "")->eos_token_ids, std::vector<int64_t>{});
}

TEST(ModelConfig, ReadsGemma3InBothSpellings) {
  const auto five = ParseAs("gemma3_text",
                            ", \"rope_parameters\": {\"full_attention\": {\"rope_type\": "
                            "\"linear\", \"factor\": 8, \"rope_theta\": 2e6}, "
                            "\"sliding_attention\": {\"rope_type\": \"default\", "
                            "\"rope_theta\": 3e4}}");
  ASSERT_TRUE(five.ok()) << five.status();
  const auto four = ParseAs("gemma3_text",
                            ", \"rope_theta\": 2e6, \"rope_local_base_freq\": 3e4, "
                            "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}, "
                            "\"sliding_window_pattern\": 6");
  ASSERT_TRUE(four.ok()) << four.status();
  EXPECT_EQ(*five, *four);
  EXPECT_EQ(five->RopeOf(5).factor, 8);
  EXPECT_EQ(five->RopeOf(4).theta, 3e4);
  EXPECT_EQ(ParseAs("gemma3_text", "")->rope.theta, 1e6);
}

TEST(ModelConfig, ReadsTheTextModelOfAMultimodalGemma3) {
  const auto config = ParseAs("gemma3",
                              ", \"eos_token_id\": [1, 106], \"torch_dtype\": \"bfloat16\", "
                              "\"text_config\": {\"model_type\": \"gemma3_text\", "
                              "\"hidden_size\": 512}, \"vision_config\": {}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->multimodal);
  EXPECT_EQ(config->hidden_size, 512);
  EXPECT_EQ(config->eos_token_ids, (std::vector<int64_t>{1, 106}));
  EXPECT_EQ(config->dtype, "bfloat16");
  EXPECT_EQ(ExitCodeOf(ParseAs("gemma3", "").status()), 6);
}

TEST(ModelConfig, ReadsPhi3sOldNamesOfLongrope) {
  const std::string factors(
      "\"short_factor\": [1, 1], \"long_factor\": [2, 4]}, \"hidden_size\": 16, "
      "\"num_attention_heads\": 4, \"max_position_embeddings\": 131072");
  for (const char* type : {"su", "yarn", "longrope"}) {
    const auto config =
        ParseAs("phi3", Cat(", \"rope_scaling\": {\"type\": \"", type, "\", ", factors));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->rope.type, "longrope");
    EXPECT_EQ(config->rope.original_max_position_embeddings, 4096);  // the class's default
    EXPECT_NEAR(config->rope.attention_factor, std::sqrt(1 + std::log(32.0) / std::log(4096.0)),
                1e-15);
  }
}

TEST(ModelConfig, OfEveryFamilyComesBackFromItsJson) {
  for (const char* type : {"llama", "mistral", "phi", "phi3", "gemma", "gemma2", "gemma3_text",
                           "gemma3", "qwen2", "qwen3"}) {
    const bool nested = std::string(type) == "gemma3";
    const auto config = ParseAs(type, nested ? ", \"text_config\": {}" : "");
    ASSERT_TRUE(config.ok()) << config.status();
    const auto back = ModelConfigFromJson(ToJson(*config), "config.json");
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, *config) << type;
  }
  ModelConfig config;
  config.rope = {.type = "yarn",
                 .factor = 3,
                 .original_max_position_embeddings = 99,
                 .attention_factor = 1.25,
                 .beta_fast = 16,
                 .beta_slow = 2,
                 .truncate = false};
  EXPECT_EQ(*ModelConfigFromJson(ToJson(config), "c"), config);
}

}  // namespace
}  // namespace anamnesis::model
