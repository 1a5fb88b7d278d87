// SPDX-License-Identifier: Apache-2.0
#include "workers/model/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/model/family.h"

namespace anamnesis::model {
namespace {

using testing::ElementsAre;

ModelConfig OneLayer(const std::string& type) {
  ModelConfig config = FamilyDefaults(type);
  config.num_hidden_layers = 1;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.vocab_size = 20;
  return config;
}

std::vector<std::string> Names(const ModelConfig& config) {
  std::vector<std::string> names;
  for (const ExpectedTensor& tensor : ExpectedTensors(config)) names.push_back(tensor.name);
  return names;
}

TEST(Layout, OfPhiHasBiasesAndOneNormPerLayer) {
  const std::string layer = "model.layers.0.";
  EXPECT_THAT(
      Names(OneLayer("phi")),
      ElementsAre("model.embed_tokens.weight", layer + "input_layernorm.weight",
                  layer + "input_layernorm.bias", layer + "self_attn.q_proj.weight",
                  layer + "self_attn.q_proj.bias", layer + "self_attn.k_proj.weight",
                  layer + "self_attn.k_proj.bias", layer + "self_attn.v_proj.weight",
                  layer + "self_attn.v_proj.bias", layer + "self_attn.dense.weight",
                  layer + "self_attn.dense.bias", layer + "mlp.fc1.weight", layer + "mlp.fc1.bias",
                  layer + "mlp.fc2.weight", layer + "mlp.fc2.bias", "model.final_layernorm.weight",
                  "model.final_layernorm.bias", "lm_head.weight", "lm_head.bias"));
}

TEST(Layout, OfPhi3FusesItsProjections) {
  const ModelConfig config = OneLayer("phi3");
  EXPECT_THAT(
      LinearModules(config),
      ElementsAre("model.layers.0.self_attn.qkv_proj", "model.layers.0.self_attn.o_proj",
                  "model.layers.0.mlp.gate_up_proj", "model.layers.0.mlp.down_proj", "lm_head"));
  EXPECT_EQ(LayoutOf(config).layers[0].attention_in[0].out_features, (4 + 2 + 2) * 6);
  EXPECT_EQ(LayoutOf(config).layers[0].mlp_in[0].out_features, 24);
}

TEST(Layout, OfGemma3HasFourNormsAndNormsOfTheHeads) {
  const LayerLayout layer = LayoutOf(OneLayer("gemma3_text")).layers[0];
  EXPECT_EQ(layer.post_attention_norm.module, "model.layers.0.post_attention_layernorm");
  EXPECT_EQ(layer.pre_mlp_norm.module, "model.layers.0.pre_feedforward_layernorm");
  EXPECT_EQ(layer.post_mlp_norm.module, "model.layers.0.post_feedforward_layernorm");
  EXPECT_EQ(layer.q_norm.module, "model.layers.0.self_attn.q_norm");
  EXPECT_EQ(layer.q_norm.size, 6);
  EXPECT_EQ(Names(OneLayer("gemma3_text")).back(), "model.norm.weight");  // tied
}

TEST(Layout, OfANestedTextModelKnowsItsPublishedNames) {
  ModelConfig config = OneLayer("gemma3_text");
  config.multimodal = true;
  EXPECT_THAT(SaveableModules(config), ElementsAre("model.language_model.embed_tokens", "lm_head"));
  EXPECT_THAT(StoredNames("model.language_model.layers.0.mlp.up_proj.weight"),
              ElementsAre("model.language_model.layers.0.mlp.up_proj.weight",
                          "language_model.model.layers.0.mlp.up_proj.weight"));
  EXPECT_TRUE(IsIgnoredTensor("vision_tower.vision_model.post_layernorm.weight"));
  EXPECT_FALSE(IsIgnoredTensor("language_model.model.norm.weight"));
}

}  // namespace
}  // namespace anamnesis::model
