// SPDX-License-Identifier: Apache-2.0
#include "workers/encoder/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::encoder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

StatusOr<EncoderConfig> Read(const Json& json) {
  return EncoderConfigFromJson(json, "m/config.json");
}

std::string ErrorOf(const Json& json, int exit_code = 6) {
  const auto config = Read(json);
  EXPECT_FALSE(config.ok());
  EXPECT_EQ(ExitCodeOf(config.status()), exit_code);
  return MessageOf(config.status());
}

TEST(EncoderConfig, AbsentKeysAreTheFamilysDefaults) {
  const EncoderConfig bert = *Read({{"model_type", "bert"}});
  EXPECT_EQ(bert.vocab_size, 30522);
  EXPECT_EQ(bert.layer_norm_eps, 1e-12);
  EXPECT_EQ(bert.classifier_dropout, 0.1);  // null: hidden_dropout_prob
  const EncoderConfig roberta = *Read({{"model_type", "roberta"}});
  EXPECT_EQ(roberta.pad_token_id, 1);
  EXPECT_EQ(roberta.MaxTokens(), 510);
  const EncoderConfig distil = *Read({{"model_type", "distilbert"}});
  EXPECT_EQ(distil.num_hidden_layers, 6);
  EXPECT_EQ(distil.classifier_dropout, 0.2);
  EXPECT_EQ(distil.type_vocab_size, 0);
  const EncoderConfig electra = *Read({{"model_type", "electra"}});
  EXPECT_EQ(electra.embedding_size, 128);
  EXPECT_EQ(electra.hidden_size, 256);
  const EncoderConfig modern = *Read({{"model_type", "modernbert"}});
  EXPECT_EQ(modern.local_window, 64);
  EXPECT_FALSE(modern.norm_bias);
  EXPECT_EQ(modern.global_rope_theta, 160000);
}

TEST(EncoderConfig, ReadsTheKeysOfEachFamily) {
  const EncoderConfig bert = *Read({{"model_type", "bert"},
                                    {"hidden_act", "gelu_new"},
                                    {"hidden_dropout_prob", 0.25},
                                    {"classifier_dropout", 0.5},
                                    {"type_vocab_size", 3},
                                    {"layer_norm_eps", 1e-6}});
  EXPECT_EQ(bert.activation, Activation::kGeluTanh);
  EXPECT_EQ(bert.hidden_dropout, 0.25);
  EXPECT_EQ(bert.classifier_dropout, 0.5);
  EXPECT_EQ(bert.type_vocab_size, 3);
  const EncoderConfig distil = *Read({{"model_type", "distilbert"},
                                      {"dim", 24},
                                      {"n_heads", 2},
                                      {"n_layers", 3},
                                      {"hidden_dim", 50},
                                      {"activation", "relu"}});
  EXPECT_EQ(distil.hidden_size, 24);
  EXPECT_EQ(distil.num_hidden_layers, 3);
  EXPECT_EQ(distil.intermediate_size, 50);
}

TEST(EncoderConfig, ReadsModernbertsLayersInBothSpellings) {
  const Json v4 = {{"model_type", "modernbert"},      {"num_hidden_layers", 4},
                   {"global_attn_every_n_layers", 2}, {"local_attention", 10},
                   {"global_rope_theta", 5.0},        {"local_rope_theta", 7.0}};
  const EncoderConfig old = *Read(v4);
  EXPECT_THAT(old.layer_is_local, ElementsAre(false, true, false, true));
  EXPECT_EQ(old.local_window, 5);
  EXPECT_EQ(old.local_rope_theta, 7.0);
  const Json v5 = {{"model_type", "modernbert"},
                   {"num_hidden_layers", 2},
                   {"layer_types", {"sliding_attention", "full_attention"}},
                   {"rope_parameters",
                    {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 9.0}}},
                     {"sliding_attention", {{"rope_theta", 8.0}}}}}};
  const EncoderConfig fresh = *Read(v5);
  EXPECT_THAT(fresh.layer_is_local, ElementsAre(true, false));
  EXPECT_EQ(fresh.global_rope_theta, 9.0);
  EXPECT_EQ(fresh.local_rope_theta, 8.0);
}

TEST(EncoderConfig, OtherModelsAndOptionsAreRefusedByName) {
  const auto with = [](const char* family, const char* key, Json value) {
    return Json{{"model_type", family}, {key, std::move(value)}};
  };
  EXPECT_THAT(ErrorOf({{"model_type", "xlnet"}}),
              HasSubstr("'xlnet' is no encoder that can be fine-tuned; supported: bert, "));
  EXPECT_THAT(ErrorOf(with("bert", "hidden_act", "quick_gelu")),
              HasSubstr("hidden_act: 'quick_gelu' is not built yet; supported: gelu, "));
  EXPECT_THAT(ErrorOf(with("modernbert", "hidden_activation", "tanh")), HasSubstr("'tanh'"));
  EXPECT_THAT(ErrorOf(with("bert", "position_embedding_type", "relative_key")),
              HasSubstr("supported: absolute"));
  EXPECT_THAT(ErrorOf(with("bert", "is_decoder", true)), HasSubstr("is_decoder: true"));
  EXPECT_THAT(ErrorOf(with("bert", "quantization_config", Json::object())),
              HasSubstr("quantization_config"));
  EXPECT_THAT(ErrorOf(with("modernbert", "classifier_pooling", "max")), HasSubstr("cls, mean"));
  EXPECT_THAT(ErrorOf(with("modernbert", "rope_parameters",
                           {{"full_attention", {{"rope_type", "yarn"}, {"rope_theta", 1e4}}}})),
              HasSubstr("rope_type yarn"));
}

TEST(EncoderConfig, WrongValuesNameTheKey) {
  const auto with = [](const char* key, Json value) {
    return Json{{"model_type", "bert"}, {key, std::move(value)}};
  };
  EXPECT_THAT(ErrorOf(with("hidden_size", "768")), HasSubstr("key 'hidden_size'"));
  EXPECT_THAT(ErrorOf(with("hidden_size", 770)), HasSubstr("multiple of num_attention_heads 12"));
  EXPECT_THAT(ErrorOf(with("hidden_dropout_prob", 1.5)), HasSubstr("'hidden_dropout_prob'"));
  EXPECT_THAT(ErrorOf(with("num_hidden_layers", 0)), HasSubstr("'num_hidden_layers'"));
  EXPECT_THAT(ErrorOf(with("pad_token_id", 40000)), HasSubstr("pad_token_id 40000"));
  EXPECT_THAT(ErrorOf(with("id2label", {{"1", "a"}, {"2", "b"}})), HasSubstr("'id2label'"));
  EXPECT_THAT(ErrorOf(Json::array()), HasSubstr("expected a JSON object"));
}

TEST(EncoderConfig, LabelsComeFromTheCallerThenTheConfig) {
  EncoderConfig config = *Read({{"model_type", "bert"}, {"id2label", {{"0", "no"}, {"1", "yes"}}}});
  ASSERT_TRUE(SetLabels(2, {}, &config).ok());
  EXPECT_THAT(config.label_names, ElementsAre("no", "yes"));
  ASSERT_TRUE(SetLabels(3, {}, &config).ok());
  EXPECT_THAT(config.label_names, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  ASSERT_TRUE(SetLabels(2, {"a", "b"}, &config).ok());
  EXPECT_THAT(config.label_names, ElementsAre("a", "b"));
  EXPECT_EQ(MessageOf(SetLabels(1, {}, &config)), "num_classes: 1: expected at least 2");
  EXPECT_FALSE(SetLabels(2, {"a"}, &config).ok());
}

TEST(EncoderConfig, IsWrittenWithItsKeysAndTheClassifiers) {
  EncoderConfig config = *Read({{"model_type", "bert"},
                                {"architectures", {"BertForMaskedLM"}},
                                {"transformers_version", "4.8.2"},
                                {"torch_dtype", "float16"}});
  ASSERT_TRUE(SetLabels(2, {"no", "yes"}, &config).ok());
  const Json written = EncoderConfigJson(config);
  EXPECT_EQ(written.at("architectures"), Json::array({"BertForSequenceClassification"}));
  EXPECT_EQ(written.at("id2label"), (Json{{"0", "no"}, {"1", "yes"}}));
  EXPECT_EQ(written.at("label2id"), (Json{{"no", 0}, {"yes", 1}}));
  EXPECT_EQ(written.at("problem_type"), "single_label_classification");
  EXPECT_EQ(written.at("dtype"), "float32");
  EXPECT_EQ(written.at("transformers_version"), "4.8.2");
  EXPECT_EQ(Read(written)->num_labels, 2);
}

}  // namespace
}  // namespace anamnesis::encoder
