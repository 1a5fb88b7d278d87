// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace anamnesis::adapter {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kLinears = {"model.layers.0.self_attn.q_proj",
                                           "model.layers.0.self_attn.v_proj",
                                           "model.layers.0.mlp.down_proj",
                                           "model.layers.1.self_attn.q_proj",
                                           "model.layers.1.self_attn.v_proj",
                                           "model.layers.1.mlp.down_proj",
                                           "lm_head"};
const std::vector<std::string> kSaveable = {"model.embed_tokens", "lm_head"};

contract::LoraPlan Plan(std::vector<std::string> targets) {
  contract::LoraPlan plan;
  plan.r = 4;
  plan.alpha = 8;
  plan.target_modules = std::move(targets);
  return plan;
}

StatusOr<TargetPlan> Targets(const contract::LoraPlan& plan) {
  return PlanTargets(plan, kLinears, kSaveable);
}

std::vector<std::string> Modules(const contract::LoraPlan& plan) {
  const auto targets = Targets(plan);
  EXPECT_TRUE(targets.ok()) << targets.status();
  std::vector<std::string> names;
  if (targets.ok()) {
    for (const LoraTarget& target : targets->lora) names.push_back(target.module);
  }
  return names;
}

TEST(Targets, ListedNamesMatchTheEndOfAPathInModelOrder) {
  EXPECT_EQ(Modules(Plan({"v_proj", "layers.1.mlp.down_proj"})),
            (std::vector<std::string>{kLinears[1], kLinears[4], kLinears[5]}));
}

TEST(Targets, ARegularExpressionMatchesTheWholePath) {
  contract::LoraPlan plan = Plan({});
  plan.target_regex = ".*\\.0\\..*(q|v)_proj";
  EXPECT_EQ(Modules(plan), (std::vector<std::string>{kLinears[0], kLinears[1]}));
  plan.target_regex = "q_proj";
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("matches no linear layer"));
}

TEST(Targets, AllLinearLeavesOutTheHead) {
  contract::LoraPlan plan = Plan({});
  plan.all_linear = true;
  EXPECT_EQ(Modules(plan).size(), kLinears.size() - 1);
  plan.exclude_modules = {"down_proj"};
  EXPECT_EQ(Modules(plan).size(), 4);
}

TEST(Targets, ScaleIsAlphaOverRankOrItsRoot) {
  contract::LoraPlan plan = Plan({"q_proj"});
  EXPECT_EQ(Targets(plan)->lora[0].scale, 2.0);
  plan.use_rslora = true;
  EXPECT_EQ(Targets(plan)->lora[0].scale, 4.0);
}

TEST(Targets, PatternsOverrideRankAndAlpha) {
  contract::LoraPlan plan = Plan({"q_proj", "v_proj"});
  plan.rank_pattern = {{"v_proj", 2}, {"layers\\.1\\.self_attn\\.q_proj", 16}};
  plan.alpha_pattern = {{"v_proj", 32}};
  const auto targets = Targets(plan);
  ASSERT_TRUE(targets.ok()) << targets.status();
  EXPECT_EQ(targets->lora[0].r, 4);
  EXPECT_EQ(targets->lora[1].r, 2);
  EXPECT_EQ(targets->lora[1].scale, 16.0);
  EXPECT_EQ(targets->lora[2].r, 16);
}

TEST(Targets, SavedModulesGetNoAdapter) {
  contract::LoraPlan plan = Plan({"q_proj"});
  plan.modules_to_save = {"lm_head", "embed_tokens"};
  EXPECT_EQ(Targets(plan)->saved_modules, kSaveable);
  plan.target_modules = {"q_proj", "lm_head"};
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("'lm_head' matches no linear layer"));
}

TEST(Targets, RefuseWhatMatchesNothingWithTheCandidates) {
  contract::LoraPlan plan = Plan({"q_proj", "query"});
  EXPECT_EQ(MessageOf(Targets(plan).status()),
            "lora.target_modules: 'query' matches no linear layer of the model that is not "
            "excluded; candidates: q_proj, v_proj, down_proj, lm_head");
  plan = Plan({"q_proj"});
  plan.exclude_modules = {"query"};
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("lora.exclude_modules: 'query'"));
  plan = Plan({"q_proj"});
  plan.rank_pattern = {{"v_proj", 2}};
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("lora.rank_pattern: 'v_proj'"));
}

TEST(Targets, RefuseWhatIsNotBuiltOrWrong) {
  contract::LoraPlan plan = Plan({"lm_head"});
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("LoRA on lm_head is not built yet"));
  plan = Plan({"embed_tokens"});
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("embed_tokens is not built yet"));
  plan = Plan({"q_proj"});
  plan.bias = "all";
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("lora.bias: all is not built yet"));
  plan = Plan({"q_proj"});
  plan.modules_to_save = {"norm"};
  EXPECT_THAT(MessageOf(Targets(plan).status()),
              HasSubstr("'norm' is not built yet; supported: embed_tokens, lm_head"));
  plan = Plan({"q_proj"});
  plan.r = 0;
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("lora.r: 0"));
  plan = Plan({"q_proj"});
  plan.dropout = 1;
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("lora.dropout"));
  plan = Plan({});
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("expected a list of names"));
  plan.target_regex = "(";
  EXPECT_THAT(MessageOf(Targets(plan).status()), HasSubstr("not a valid regular expression"));
  for (const Status& status : {Targets(plan).status(), Targets(Plan({"x"})).status()}) {
    EXPECT_EQ(ExitCodeOf(status), 6);
  }
}

TEST(FitPlan, MapsTheSeedsTargetsOntoFusedProjections) {
  const std::vector<std::string> fused = {
      "model.layers.0.self_attn.qkv_proj", "model.layers.0.self_attn.o_proj",
      "model.layers.0.mlp.gate_up_proj", "model.layers.0.mlp.down_proj", "lm_head"};
  const contract::LoraPlan seed =
      Plan({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"});
  const FittedPlan fitted = FitPlan(seed, fused);
  EXPECT_EQ(fitted.lora.target_modules,
            (std::vector<std::string>{"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}));
  ASSERT_EQ(fitted.notes.size(), 2);
  EXPECT_THAT(fitted.notes[1], HasSubstr("q_proj, k_proj, v_proj became qkv_proj"));
  const auto targets = PlanTargets(fitted.lora, fused, kSaveable);
  ASSERT_TRUE(targets.ok()) << targets.status();
  EXPECT_EQ(targets->lora.size(), 4);
  const FittedPlan again = FitPlan(fitted.lora, fused);
  EXPECT_EQ(again.lora.target_modules, fitted.lora.target_modules);
  EXPECT_TRUE(again.notes.empty());
  EXPECT_EQ(FitPlan(Plan({"v_proj", "qkv_proj"}), fused).lora.target_modules,
            std::vector<std::string>{"qkv_proj"});
}

TEST(FitPlan, LeavesOtherModelsAndPlansAlone) {
  const FittedPlan fitted = FitPlan(Plan({"q_proj", "gate_proj"}), kLinears);
  EXPECT_EQ(fitted.lora.target_modules, (std::vector<std::string>{"q_proj", "gate_proj"}));
  EXPECT_TRUE(fitted.notes.empty());
}

TEST(FitPlan, KeepsPeftOutOfAVisionTower) {
  const std::vector<std::string> nested = {"model.language_model.layers.0.self_attn.q_proj",
                                           "model.language_model.layers.0.mlp.up_proj",
                                           "model.language_model.layers.1.mlp.up_proj", "lm_head"};
  const FittedPlan listed = FitPlan(Plan({"layers.1.mlp.up_proj", "q_proj"}), nested);
  EXPECT_EQ(listed.lora.target_regex,
            "model\\.language_model\\..*\\.(layers\\.1\\.mlp\\.up_proj|q_proj)");
  EXPECT_TRUE(listed.lora.target_modules.empty());
  EXPECT_EQ(listed.notes.size(), 1);
  contract::LoraPlan all = Plan({});
  all.all_linear = true;
  const FittedPlan fitted = FitPlan(all, nested);
  EXPECT_FALSE(fitted.lora.all_linear);
  const auto targets = PlanTargets(fitted.lora, nested, {"lm_head"});
  ASSERT_TRUE(targets.ok()) << targets.status();
  EXPECT_EQ(targets->lora.size(), 3);
  const FittedPlan wrong = FitPlan(Plan({"fc1"}), nested);
  EXPECT_THAT(MessageOf(PlanTargets(wrong.lora, nested, {"lm_head"}).status()),
              HasSubstr("'fc1' matches no linear layer"));
}

}  // namespace
}  // namespace anamnesis::adapter
