// SPDX-License-Identifier: Apache-2.0
#include "common/config/job_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/schema.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(LoadJobConfig, FillsDefaultsOfAbsentKeys) {
  const auto job = Load(kSmall);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->training.seed, 42U);
  EXPECT_EQ(job->training.logging_steps, 500);
  EXPECT_EQ(job->training.eval_steps, 0);
  EXPECT_EQ(job->training.warmup_steps, 0);
  EXPECT_EQ(job->training.max_grad_norm, 1.0);
  EXPECT_EQ(job->training.lr_scheduler_type, "linear");
  EXPECT_FALSE(job->training.lanes.has_value());
  EXPECT_FALSE(job->wandb_enabled);
  EXPECT_EQ(job->data.unknown_tokens, "keep-code");
  EXPECT_EQ(job->yaml_text, kSmall);
}

TEST(LoadJobConfig, TheSchemasDefaultsAreThoseOfTheStruct) {
  const auto job = Load(kSmall);
  const TrainingSection training;
  EXPECT_EQ(job->training.learning_rate, training.learning_rate);
  EXPECT_EQ(job->training.epochs, training.epochs);
  EXPECT_EQ(job->training.batch_size, training.batch_size);
  EXPECT_EQ(job->training.determinism, training.determinism);
  const LoraSection lora;
  EXPECT_EQ(job->lora.r, lora.r);
  EXPECT_EQ(job->lora.lora_alpha, lora.lora_alpha);
  EXPECT_EQ(job->lora.bias, lora.bias);
  const DataSection data;
  EXPECT_EQ(job->data.on_missing_date, data.on_missing_date);
  EXPECT_EQ(job->data.boundary, data.boundary);
}

TEST(LoadJobConfig, ResolvesEveryKeyOfTheTaskAndNoOther) {
  const auto job = Load(kSmall);
  for (const KeyRow& row : Schema()) {
    std::string pointer = "/";
    for (const char c : row.path) pointer += c == '.' ? '/' : c;
    EXPECT_EQ(job->resolved.contains(Json::json_pointer(pointer)),
              Contains(row.tasks, Task::kPretrainLlm))
        << row.path;
  }
  EXPECT_EQ(job->resolved["training"]["seed"], 42);
  EXPECT_TRUE(job->resolved["training"]["lanes"].is_null());
}

TEST(LoadJobConfig, ANullValueMeansTheDefault) {
  const auto job = Load(std::string(kSmall) + "  seed:\n  lanes: null\nwandb:\n");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->training.seed, 42U);
  EXPECT_FALSE(job->wandb_present);
}

TEST(LoadJobConfig, SaysThatUnslothRunsTheReferenceEngine) {
  EXPECT_THAT(Load(kSmall)->notes, ::testing::Contains(HasSubstr("reference engine")));
  EXPECT_THAT(LoadWith({"training.framework=peft"})->notes,
              Not(::testing::Contains(HasSubstr("reference engine"))));
}

TEST(LoadJobConfig, SaysWhichLookupsAreMissing) {
  EXPECT_THAT(Load(kSmall)->notes,
              ::testing::Contains(HasSubstr("data.lab_lookup_filepath is not set")));
  EXPECT_THAT(LoadWith({"training.framework=peft", "data.lab_lookup_filepath=/l",
                        "data.medical_lookup_filepath=/m"})
                  ->notes,
              IsEmpty());
}

TEST(LoadJobConfig, TakesAliases) {
  const auto job = Load(Replaced(kSmall, "vocab_filepath: /d/vocab.csv",
                                 "vocab_filepath: &v /d/both.csv\n  medical_lookup_filepath: *v"));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->data.medical_lookup_filepath, "/d/both.csv");
}

TEST(LoadJobConfig, RanksAreANumber) {
  EXPECT_FALSE(Load(kSmall)->ranks.has_value());
  EXPECT_EQ(LoadWith({"resources.ranks=3"})->ranks, 3);
}

TEST(Overrides, GoBeforeTheFileAndTheLastOneWins) {
  const auto job = LoadWith({"model.max_length=64", "training.epochs=2", "training.epochs=5"});
  EXPECT_EQ(job->model.max_length, 64);
  EXPECT_EQ(job->training.epochs, 5);
}

TEST(Overrides, RepairAWrongKindOfValueOnlyInTheKeyTheyName) {
  EXPECT_TRUE(
      Load(std::string(kSmall) + "  load_in_4bit: true\n", {"training.load_in_4bit=false"}).ok());
}

TEST(LoadDataConfig, NeedsTheDataSectionAlone) {
  const TemporaryFolder folder;
  const std::string path = folder.Write(
      "d.yaml",
      "data:\n  data_dir: /d\n  vocab_filepath: /v\n  labels_filepath: /l\n  cutoff_months: 2\n");
  const auto job = LoadDataConfig(path, {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->task, Task::kPrepare);
  EXPECT_EQ(job->data.cutoff_months, 2);
}

TEST(LoadDataConfig, IgnoresWhatIsNotBuiltElsewhereButChecksItsTypes) {
  const auto load = [](const std::string& more) {
    return Load(std::string(kSmall) + more, {}, Task::kPrepare);
  };
  EXPECT_TRUE(load("  load_in_4bit: true\n  fp16: true\n").ok());
  EXPECT_THAT(MessageOf(load("  epochs: many\n").status()),
              HasSubstr("job.yaml:12:11: training.epochs"));
  EXPECT_EQ(load("  epochs: 1\nmodel2: 3\n").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TaskFromName, KnowsItsNamesAndTheNearest) {
  for (const Task task : AllTasks()) EXPECT_EQ(*TaskFromName(NameOf(task)), task);
  EXPECT_THAT(MessageOf(TaskFromName("pretrain-llm").status()),
              HasSubstr("did you mean pretrain_llm?"));
}

}  // namespace
}  // namespace anamnesis::config
