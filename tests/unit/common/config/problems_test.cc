// SPDX-License-Identifier: Apache-2.0
// What is wrong with a configuration, and how it is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const Status status = Load(text, overrides).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return MessageOf(status);
}

TEST(Problems, AnUnknownKeyHasPlaceAndNearest) {
  EXPECT_EQ(ErrorOf(std::string(kSmall) + "  epoch: 3\n"),
            "job.yaml:12:3: training.epoch: unknown key, did you mean training.epochs?");
}

TEST(Problems, AnUnknownSectionIsToldOnce) {
  EXPECT_EQ(ErrorOf(std::string(kSmall) + "trainig:\n  a: 1\n  b: 2\n"),
            "job.yaml:12:1: trainig: unknown key, did you mean training?");
}

TEST(Problems, ADottedKeyIsToldToBeNested) {
  EXPECT_THAT(ErrorOf(std::string(kSmall) + "training.epochs: 3\n"),
              HasSubstr("write 'training:' and below it 'epochs: ...'"));
}

TEST(Problems, AWrongTypeSaysExpectedAndFound) {
  EXPECT_EQ(
      ErrorOf(std::string(kSmall) + "  batch_size: four\n"),
      "job.yaml:12:15: training.batch_size: expected an integer ≥ 1 and ≤ 1048576, found 'four'");
  EXPECT_EQ(ErrorOf(Replaced(kSmall, "[q_proj]", "[q_proj, {a: 1}]")),
            "job.yaml:9:28: lora.target_modules: expected a text or a list of names, [a, b], found "
            "a map");
}

TEST(Problems, ASectionMustBeAMap) {
  EXPECT_EQ(ErrorOf(std::string(kSmall) + "resources: 4\n"),
            "job.yaml:12:12: resources: expected a section (keys with values), found '4'");
  EXPECT_THAT(ErrorOf("- a\n- b\n"), HasSubstr("job.yaml:1:1: expected sections"));
  EXPECT_THAT(ErrorOf("just a word\n"), HasSubstr("found 'just a word'"));
}

TEST(Problems, AllAreToldAtOnceInTheOrderOfTheFile) {
  const std::string error = ErrorOf(
      "model:\n  max_length: 1\n  name: x\ndata:\n  data_dir: /d\n  cutoff_months: -1\n"
      "lora:\n  target_modules: []\ntraining:\n  output_dir: /o\n  lanes: 3\n  bf16: true\n  fp16: "
      "true\n",
      {"training.epochs=0"});
  EXPECT_EQ(error,
            "job.yaml:1:1: model.model_name: missing, pretrain_llm needs it; expected a text\n"
            "job.yaml:2:15: model.max_length: expected an integer ≥ 2 and ≤ 1048576, found '1'\n"
            "job.yaml:3:3: model.name: unknown key, did you mean model.model_name?\n"
            "job.yaml:4:1: data.vocab_filepath: missing, pretrain_llm needs it; expected a path\n"
            "job.yaml:4:1: data.labels_filepath: missing, pretrain_llm needs it; expected a path\n"
            "job.yaml:6:18: data.cutoff_months: expected an integer ≥ 0 and ≤ 1200, found '-1'\n"
            "job.yaml:8:3: lora.target_modules: expected at least one name, found an empty list\n"
            "job.yaml:11:3: training.lanes: expected a power of two, found 3\n"
            "job.yaml:13:3: training.fp16: is true together with training.bf16: expected at most "
            "one of the two\n"
            "--set: training.epochs: expected an integer ≥ 1 and ≤ 1000000, found '0'");
}

TEST(Problems, AnEmptyFileMissesEveryRequiredKey) {
  const std::string error = ErrorOf("");
  EXPECT_THAT(error, HasSubstr("job.yaml:1:1: model.model_name: missing"));
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 6);
}

TEST(Problems, AKeySetTwiceIsAnError) {
  EXPECT_EQ(ErrorOf(std::string(kSmall) + "  epochs: 1\n  epochs: 2\n"),
            "job.yaml:13:3: training.epochs: set twice: remove one of the two");
  EXPECT_THAT(ErrorOf(std::string(kSmall) + "model:\n  max_length: 3\n"),
              HasSubstr("job.yaml:12:1: model: set twice"));
}

TEST(Problems, AKeyThatIsNoTextIsAnError) {
  EXPECT_THAT(ErrorOf(std::string(kSmall) + "? [a, b]\n: 1\n"),
              HasSubstr("expected a key, found a list"));
}

TEST(Problems, OverridesAreCheckedLikeTheFile) {
  EXPECT_EQ(ErrorOf(kSmall, {"training.epoch=3"}),
            "--set: training.epoch: unknown key, did you mean training.epochs?");
  EXPECT_EQ(ErrorOf(kSmall, {"training.epochs=x"}),
            "--set: training.epochs: expected an integer ≥ 1 and ≤ 1000000, found 'x'");
  EXPECT_THAT(ErrorOf(kSmall, {"epochs"}), HasSubstr("--set: expected KEY=VALUE, found 'epochs'"));
  EXPECT_THAT(ErrorOf(kSmall, {"training=3"}), HasSubstr("--set: training: is a section"));
  EXPECT_THAT(ErrorOf(kSmall, {"lora.target_modules=[a"}), HasSubstr("--set"));
  EXPECT_THAT(ErrorOf(kSmall, {"training.output_dir="}), HasSubstr("training.output_dir: missing"));
}

TEST(Problems, AKeyOfAnotherTaskIsTold) {
  const Status status = Load(kSmall, {"training.load_in_4bit=false"}, Task::kFinetuneBert).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(status),
            "--set: training.load_in_4bit: does not apply to finetune_bert, only to pretrain_llm, "
            "finetune_llm, classify_llm");
}

TEST(Problems, AnOutputFolderMustNotHoldTheData) {
  EXPECT_THAT(ErrorOf(kSmall, {"training.output_dir=/d"}), HasSubstr("holds data.data_dir"));
  EXPECT_THAT(ErrorOf(kSmall, {"training.output_dir=/d/data/"}), HasSubstr("holds data.data_dir"));
  EXPECT_TRUE(LoadWith({"training.output_dir=/d/dat"}).ok());
}

TEST(Problems, ValuesAtTheBordersOfTheirRange) {
  for (const char* good :
       {"lora.lora_dropout=0", "lora.lora_dropout=0.999", "training.max_grad_norm=0",
        "training.weight_decay=0", "data.cutoff_months=0", "model.max_length=2"}) {
    EXPECT_TRUE(LoadWith({good}).ok()) << good;
  }
  for (const char* bad :
       {"lora.lora_dropout=1", "lora.lora_dropout=-0.1", "training.max_grad_norm=-1",
        "training.learning_rate=0", "lora.lora_alpha=0", "lora.r=0", "training.seed=-1",
        "training.logging_steps=0", "training.lanes=0", "resources.ranks=0"}) {
    EXPECT_FALSE(LoadWith({bad}).ok()) << bad;
  }
}

TEST(Problems, AFloodIsCutShort) {
  std::string text = kSmall;
  for (int i = 0; i < 1000; ++i) text += Cat("  key", i, ": 1\n");
  const std::string error = ErrorOf(text);
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 50);
  EXPECT_THAT(error, HasSubstr("and 950 more problems"));
}

}  // namespace
}  // namespace anamnesis::config
