// SPDX-License-Identifier: Apache-2.0
#include "common/config/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(Numbers, AreReadInTheFormsThatPeopleWrite) {
  for (const char* text :
       {"2e-4", "2E-4", "0.0002", ".0002", "2.0e-04", "+2e-4", "'2e-4'", "\"2e-4\""}) {
    const auto job = LoadWith({Cat("training.learning_rate=", text)});
    ASSERT_TRUE(job.ok()) << text << ": " << job.status();
    EXPECT_DOUBLE_EQ(job->training.learning_rate, 2e-4) << text;
  }
  for (const char* text : {"1000", "1_000", "1e3", "1000.0", "+1000", "\"1000\""}) {
    const auto job = LoadWith({Cat("training.logging_steps=", text)});
    ASSERT_TRUE(job.ok()) << text << ": " << job.status();
    EXPECT_EQ(job->training.logging_steps, 1000) << text;
  }
}

TEST(Numbers, RefusesWhatIsNone) {
  for (const char* text : {"fast", "1,5", "1:30", "0x10", ".inf", ".nan", "nan", "inf", "1e999",
                           "--1", "+-1", "1__0", "_1", "1e", "-2e-4", "[1]", "{a: 1}", "true"}) {
    const auto job = LoadWith({Cat("training.learning_rate=", text)});
    EXPECT_EQ(job.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  for (const char* text : {"1.5", "99999999999999999999", "1e300", "-1", "0", "ten"}) {
    const auto job = LoadWith({Cat("training.logging_steps=", text)});
    EXPECT_EQ(job.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Numbers, ALeadingZeroIsNoOctal) {
  EXPECT_THAT(MessageOf(LoadWith({"training.seed=010"}).status()), HasSubstr("octal"));
}

TEST(Bools, AreTheWordsOfYaml11) {
  for (const char* text : {"true", "True", "TRUE", "yes", "on"}) {
    EXPECT_TRUE(LoadWith({Cat("training.bf16=", text)})->training.bf16) << text;
  }
  for (const char* text : {"false", "No", "OFF"}) {
    EXPECT_FALSE(LoadWith({Cat("training.bf16=", text)})->training.bf16) << text;
  }
  for (const char* text : {"1", "0", "y", "maybe", "\"true\"", "tRue"}) {
    EXPECT_THAT(MessageOf(LoadWith({Cat("training.bf16=", text)}).status()),
                HasSubstr("expected true or false"))
        << text;
  }
}

TEST(Enums, NameTheChoicesAndTheNearest) {
  EXPECT_EQ(MessageOf(LoadWith({"training.framework=unslot"}).status()),
            "--set: training.framework: expected one of unsloth, peft, found 'unslot', did you "
            "mean unsloth?");
}

TEST(Paths, BecomeAbsoluteAndNormal) {
  const std::string here = std::filesystem::current_path().string();
  const auto job = LoadWith({"training.output_dir=./results//run/", "data.data_dir=/d/x/../y/"});
  EXPECT_EQ(job->training.output_dir, here + "/results/run");
  EXPECT_EQ(job->data.data_dir, "/d/y");
}

TEST(Lists, AreReadAndTheirItemsChecked) {
  EXPECT_THAT(LoadWith({"lora.modules_to_save=[embed_tokens, lm_head]"})->lora.modules_to_save,
              ElementsAre("embed_tokens", "lm_head"));
  EXPECT_FALSE(LoadWith({"lora.modules_to_save=embed_tokens"}).ok());
  EXPECT_FALSE(LoadWith({"lora.modules_to_save=[[a]]"}).ok());
  EXPECT_FALSE(LoadWith({"lora.modules_to_save=['']"}).ok());
}

TEST(TargetModules, AreAListARegexOrAllLinear) {
  EXPECT_THAT(LoadWith({"lora.target_modules=[a, b]"})->lora.target_modules, ElementsAre("a", "b"));
  const auto regex = LoadWith({R"(lora.target_modules=.*\.(q|v)_proj)"});
  EXPECT_EQ(regex->lora.target_regex, R"(.*\.(q|v)_proj)");
  EXPECT_FALSE(regex->lora.all_linear);
  const auto all = LoadWith({"lora.target_modules=all-linear"});
  EXPECT_TRUE(all->lora.all_linear);
  EXPECT_EQ(all->lora.target_regex, "");
  EXPECT_TRUE(all->lora.target_modules.empty());
}

TEST(Maps, HaveNamesAndCheckedValues) {
  EXPECT_THAT(
      LoadWith({"lora.rank_pattern={q_proj: 4, model.layers.0.v_proj: '2'}"})->lora.rank_pattern,
      ElementsAre(Pair("model.layers.0.v_proj", 2), Pair("q_proj", 4)));
  EXPECT_THAT(LoadWith({"lora.alpha_pattern={q_proj: 0.5}"})->lora.alpha_pattern,
              ElementsAre(Pair("q_proj", 0.5)));
  EXPECT_FALSE(LoadWith({"lora.rank_pattern={q_proj: 0}"}).ok());
  EXPECT_FALSE(LoadWith({"lora.rank_pattern={q_proj: 1, q_proj: 2}"}).ok());
  EXPECT_FALSE(LoadWith({"lora.rank_pattern=[q_proj]"}).ok());
}

TEST(Texts, MayLookLikeOtherTypes) {
  EXPECT_EQ(LoadWith({"model.revision=123"})->model.revision, "123");
  EXPECT_FALSE(LoadWith({"model.revision=[a]"}).ok());
  EXPECT_FALSE(LoadWith({"model.revision=\"a\\0b\""}).ok());
}

}  // namespace
}  // namespace anamnesis::config
