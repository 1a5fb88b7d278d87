// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/peft_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::adapter {
namespace {

using testing::HasSubstr;

contract::LoraPlan Plan() {
  contract::LoraPlan plan;
  plan.r = 16;
  plan.alpha = 32;
  plan.dropout = 0.05;
  plan.use_rslora = true;
  plan.target_modules = {"q_proj", "v_proj"};
  plan.exclude_modules = {"k_proj"};
  plan.modules_to_save = {"lm_head"};
  plan.rank_pattern = {{"v_proj", 3}};
  plan.alpha_pattern = {{"q_proj", 1.5}};
  return plan;
}

Status ReadWith(const std::string& field, const Json& value) {
  Json json = AdapterConfigJson(Plan(), "base");
  json[field] = value;
  return AdapterConfigFromJson(json, "adapter_config.json").status();
}

TEST(AdapterConfig, ComesBackFromItsJson) {
  const auto config = AdapterConfigFromJson(AdapterConfigJson(Plan(), "the base"), "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->base_model_name, "the base");
  const contract::LoraPlan& lora = config->lora;
  EXPECT_EQ(lora.r, 16);
  EXPECT_EQ(lora.alpha, 32);
  EXPECT_EQ(lora.dropout, 0.05);
  EXPECT_TRUE(lora.use_rslora);
  EXPECT_EQ(lora.target_modules, Plan().target_modules);
  EXPECT_EQ(lora.exclude_modules, Plan().exclude_modules);
  EXPECT_EQ(lora.modules_to_save, Plan().modules_to_save);
  EXPECT_EQ(lora.rank_pattern, Plan().rank_pattern);
  EXPECT_EQ(lora.alpha_pattern, Plan().alpha_pattern);
}

TEST(AdapterConfig, HasTheFieldsOfPeftSortedWithTwoSpaces) {
  const std::string text = AdapterConfigText(AdapterConfigJson(Plan(), "base"));
  EXPECT_TRUE(
      text.starts_with("{\n  \"alora_invocation_tokens\": null,\n  \"alpha_pattern\": {\n"));
  EXPECT_THAT(text, HasSubstr("\n  \"lora_alpha\": 32,\n"));
  EXPECT_THAT(text, HasSubstr("\n  \"inference_mode\": true,\n"));
  EXPECT_TRUE(text.ends_with("\n}"));
}

TEST(AdapterConfig, ReadsARegularExpressionAndAllLinear) {
  Json json = AdapterConfigJson(Plan(), "base");
  json["target_modules"] = ".*q_proj";
  EXPECT_EQ(AdapterConfigFromJson(json, "c")->lora.target_regex, ".*q_proj");
  json["target_modules"] = "all-linear";
  EXPECT_TRUE(AdapterConfigFromJson(json, "c")->lora.all_linear);
}

struct Refusal {
  std::string field;
  Json value;
};

TEST(AdapterConfig, RefusesByFieldWhatIsNotBuilt) {
  const Refusal kCases[] = {{"use_dora", true},
                            {"bias", "all"},
                            {"lora_bias", true},
                            {"layers_to_transform", {0, 1}},
                            {"layers_pattern", "layers"},
                            {"init_lora_weights", "pissa"},
                            {"init_lora_weights", "loftq"},
                            {"loftq_config", {{"loftq_bits", 4}}},
                            {"fan_in_fan_out", true},
                            {"layer_replication", {{0, 1}}},
                            {"trainable_token_indices", {1}},
                            {"target_parameters", {"x"}},
                            {"alora_invocation_tokens", {1}},
                            {"use_qalora", true},
                            {"task_type", "SEQ_2_SEQ_LM"},
                            {"peft_type", "LOHA"},
                            {"exclude_modules", ".*k_proj"},
                            {"ensure_weight_tying", true},
                            {"a_field_of_the_future", 3}};
  for (const Refusal& row : kCases) {
    const Status status = ReadWith(row.field, row.value);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << row.field;
    EXPECT_THAT(MessageOf(status), HasSubstr(row.field));
    EXPECT_THAT(MessageOf(status), HasSubstr("not built yet"));
  }
}

TEST(AdapterConfig, AcceptsUnknownFieldsThatAreOff) {
  EXPECT_TRUE(ReadWith("a_field_of_the_future", nullptr).ok());
  EXPECT_TRUE(ReadWith("use_something", false).ok());
  EXPECT_TRUE(ReadWith("some_config", Json::object()).ok());
  EXPECT_TRUE(ReadWith("peft_version", "0.10.0").ok());
  EXPECT_TRUE(ReadWith("loftq_config", nullptr).ok());
}

// What a run of Unsloth on a text and vision model leaves: a regular expression for targets, the
// class that was adapted, and fewer fields than this PEFT has.
TEST(AdapterConfig, ReadsAFileOfUnsloth) {
  const auto config = AdapterConfigFromJson(
      Json{{"alpha_pattern", Json::object()},
           {"auto_mapping",
            {{"base_model_class", "Gemma3ForConditionalGeneration"},
             {"parent_library", "transformers.models.gemma3.modeling_gemma3"},
             {"unsloth_fixed", true}}},
           {"base_model_name_or_path", "unsloth/gemma-3-4b-it-unsloth-bnb-4bit"},
           {"bias", "none"},
           {"fan_in_fan_out", false},
           {"inference_mode", true},
           {"init_lora_weights", true},
           {"layers_pattern", nullptr},
           {"loftq_config", Json::object()},
           {"lora_alpha", 8},
           {"lora_dropout", 0},
           {"modules_to_save", nullptr},
           {"peft_type", "LORA"},
           {"r", 8},
           {"target_modules", "(?:.*?(?:language|text).*?(?:q_proj|v_proj))"},
           {"task_type", nullptr},
           {"use_dora", false}},
      "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->base_model_name, "unsloth/gemma-3-4b-it-unsloth-bnb-4bit");
  EXPECT_EQ(config->lora.target_regex, "(?:.*?(?:language|text).*?(?:q_proj|v_proj))");
  EXPECT_EQ(config->task, AdapterTask::kCausalLanguageModel);
}

TEST(AdapterConfig, RefusesWrongTypesNamingTheKey) {
  const Refusal kCases[] = {{"r", "eight"},
                            {"r", 0},
                            {"lora_alpha", nullptr},
                            {"target_modules", nullptr},
                            {"target_modules", {1}},
                            {"modules_to_save", "lm_head"},
                            {"rank_pattern", {1}},
                            {"rank_pattern", {{"q", 1.5}}},
                            {"alpha_pattern", {{"q", "x"}}}};
  for (const Refusal& row : kCases) {
    const Status status = ReadWith(row.field, row.value);
    EXPECT_EQ(ExitCodeOf(status), 6) << row.field;
    EXPECT_THAT(MessageOf(status), HasSubstr("'" + row.field + "'"));
  }
  EXPECT_FALSE(AdapterConfigFromJson(Json::array(), "c").ok());
  EXPECT_FALSE(AdapterConfigFromJson(Json::object(), "c").ok());
}

TEST(AdapterKeys, AreThoseOfPeft) {
  EXPECT_EQ(LoraAKey("model.layers.0.mlp.up_proj"),
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight");
  EXPECT_EQ(LoraBKey("m"), "base_model.model.m.lora_B.weight");
  EXPECT_EQ(SavedModuleKey("lm_head"), "base_model.model.lm_head.weight");
}

}  // namespace
}  // namespace anamnesis::adapter
