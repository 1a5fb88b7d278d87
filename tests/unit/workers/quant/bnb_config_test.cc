// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/bnb_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Json Config() {
  return {{"quant_method", "bitsandbytes"},
          {"load_in_4bit", true},
          {"load_in_8bit", false},
          {"_load_in_4bit", true},
          {"bnb_4bit_quant_type", "nf4"},
          {"bnb_4bit_use_double_quant", true},
          {"bnb_4bit_compute_dtype", "bfloat16"},
          {"bnb_4bit_quant_storage", "uint8"},
          {"llm_int8_skip_modules", {"lm_head", "model.layers.1.mlp"}},
          {"llm_int8_threshold", 6.0}};
}

TEST(BnbConfig, SkipListIsRead) {
  const auto config = ParseBnbConfig(Config(), "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->skip_modules, ElementsAre("lm_head", "model.layers.1.mlp"));
}

TEST(BnbConfig, NullAndAbsentKeysHaveTheLibrarysDefaults) {
  Json json = Config();
  json["llm_int8_skip_modules"] = nullptr;
  json["bnb_4bit_quant_storage"] = nullptr;
  json.erase("quant_method");
  const auto config = ParseBnbConfig(json, "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->skip_modules.empty());
}

TEST(BnbConfig, WhatIsNotBuiltIsRefusedByName) {
  const struct {
    const char* key;
    Json value;
    const char* says;
  } kRows[] = {
      {"quant_method", "gptq", "quantization_config.quant_method: gptq is not built yet"},
      {"quant_method", 3, "quant_method"},
      {"load_in_8bit", true, "quantization_config.load_in_4bit: false is not built yet"},
      {"load_in_4bit", false, "quantization_config.load_in_4bit: false is not built yet"},
      {"load_in_4bit", "yes", "load_in_4bit"},
      {"bnb_4bit_quant_type", "fp4", "quantization_config.bnb_4bit_quant_type: fp4 is not built"},
      {"bnb_4bit_quant_type", nullptr, "bnb_4bit_quant_type: fp4"},
      {"bnb_4bit_quant_storage", "bfloat16", "bnb_4bit_quant_storage: bfloat16 is not built yet"},
      {"llm_int8_skip_modules", "lm_head", "llm_int8_skip_modules': expected a list of names"},
      {"llm_int8_skip_modules", {1}, "llm_int8_skip_modules': expected a list of names"},
      {"llm_int8_skip_modules", {""}, "llm_int8_skip_modules': expected a list of names"},
  };
  for (const auto& row : kRows) {
    Json json = Config();
    json[row.key] = row.value;
    const auto config = ParseBnbConfig(json, "m/config.json");
    EXPECT_EQ(ExitCodeOf(config.status()), 6) << row.key;
    EXPECT_THAT(MessageOf(config.status()), HasSubstr(row.says));
    EXPECT_THAT(MessageOf(config.status()), HasSubstr("m/config.json: quantization_config"));
  }
  EXPECT_EQ(ExitCodeOf(ParseBnbConfig(Json::array(), "config.json").status()), 6);
}

TEST(BnbConfig, SkipListNamesModulesFromTheStartOrByTheirEnd) {
  const std::vector<std::string> skip = {"lm_head", "model.layers.1", "v_proj"};
  EXPECT_TRUE(IsInSkipList("lm_head", skip));
  EXPECT_TRUE(IsInSkipList("model.layers.1.mlp.up_proj", skip));
  EXPECT_TRUE(IsInSkipList("model.layers.7.self_attn.v_proj", skip));
  EXPECT_FALSE(IsInSkipList("model.layers.11.mlp.up_proj", skip));
  EXPECT_FALSE(IsInSkipList("model.layers.7.self_attn.q_proj", skip));
  EXPECT_FALSE(IsInSkipList("model.layers.7.self_attn.q_proj", {}));
}

}  // namespace
}  // namespace anamnesis::quant
