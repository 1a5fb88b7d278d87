// SPDX-License-Identifier: Apache-2.0
#include "common/config/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/config/schema.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A language model with an adapter that no rule has anything to say about.
JobConfig Llm() {
  JobConfig config;
  config.task = Task::kPretrainLlm;
  config.model.max_length = 2048;
  config.data.cutoff_months = 1;
  config.lora.target_modules = {"q_proj"};
  config.training.epochs = 3;
  config.training.batch_size = 4;
  config.training.gradient_accumulation_steps = 4;
  config.training.learning_rate = 2e-4;
  return config;
}

JobConfig Classifier() {
  JobConfig config = Llm();
  config.task = Task::kClassifyLlm;
  return config;
}

JobConfig Bert() {
  JobConfig config = Llm();
  config.task = Task::kFinetuneBert;
  config.lora.target_modules.clear();
  config.training.batch_size = 16;
  config.training.gradient_accumulation_steps = 1;
  config.training.learning_rate = 2e-5;
  return config;
}

struct Row {
  std::string id, key;
  JobConfig config;
  Facts facts;
  std::string text;  // a part of text or remedy
  bool given = true;
};

using Change = void (*)(JobConfig&, Facts&);

Row Given(const char* id, const char* key, JobConfig config, Change change, const char* text) {
  Row row{id, key, std::move(config), {}, text, true};
  change(row.config, row.facts);
  return row;
}

Row NotGiven(const char* id, JobConfig config, Change change) {
  Row row{id, "", std::move(config), {}, "", false};
  change(row.config, row.facts);
  return row;
}

const std::vector<Row> kConfigurationRows = {
    Given(
        "warmup_covers_run", "training.warmup_steps", Llm(),
        [](JobConfig& config, Facts& facts) {
          config.training.warmup_steps = 500;
          facts.total_steps = 500;
        },
        "use at most 50"),
    Given(
        "warmup_covers_run", "training.warmup_steps", Llm(),
        [](JobConfig& config, Facts& facts) {
          config.training.warmup_steps = 500;
          facts.total_steps = 3;
        },
        "of 3 in all"),
    NotGiven("warmup_covers_run", Llm(),
             [](JobConfig& config, Facts& facts) {
               config.training.warmup_steps = 499;
               facts.total_steps = 500;
             }),
    NotGiven("warmup_covers_run", Llm(),
             [](JobConfig& config, Facts&) { config.training.warmup_steps = 500; }),
    NotGiven("warmup_covers_run", Llm(), [](JobConfig&, Facts& facts) { facts.total_steps = 1; }),
    Given(
        "bf16_before_ampere", "training.bf16", Llm(),
        [](JobConfig& config, Facts& facts) {
          config.training.bf16 = true;
          facts.compute_capability = 75;
        },
        "capability 7.5"),
    NotGiven("bf16_before_ampere", Llm(),
             [](JobConfig& config, Facts& facts) {
               config.training.bf16 = true;
               facts.compute_capability = 80;
             }),
    NotGiven("bf16_before_ampere", Llm(),
             [](JobConfig&, Facts& facts) { facts.compute_capability = 70; }),
    Given(
        "bf16_unused", "training.bf16", Llm(),
        [](JobConfig&, Facts& facts) { facts.compute_capability = 90; }, "use bf16: true"),
    NotGiven("bf16_unused", Llm(),
             [](JobConfig& config, Facts& facts) {
               config.training.fp16 = true;
               facts.compute_capability = 90;
             }),
    NotGiven("bf16_unused", Llm(), [](JobConfig&, Facts& facts) { facts.compute_capability = 75; }),
    Given(
        "lora_learning_rate", "training.learning_rate", Llm(),
        [](JobConfig& config, Facts&) { config.training.learning_rate = 6e-4; },
        "outside 1e-05 to 0.0005"),
    Given(
        "lora_learning_rate", "training.learning_rate", Llm(),
        [](JobConfig& config, Facts&) { config.training.learning_rate = 9e-6; }, "raise it"),
    NotGiven("lora_learning_rate", Llm(),
             [](JobConfig& config, Facts&) { config.training.learning_rate = 5e-4; }),
    NotGiven("lora_learning_rate", Llm(),
             [](JobConfig& config, Facts&) { config.training.learning_rate = 1e-5; }),
    NotGiven("lora_learning_rate", Bert(),
             [](JobConfig& config, Facts&) { config.training.learning_rate = 1; }),
    Given(
        "bert_learning_rate", "training.learning_rate", Bert(),
        [](JobConfig& config, Facts&) { config.training.learning_rate = 2e-4; }, "lower it"),
    Given(
        "bert_learning_rate", "training.learning_rate", Bert(),
        [](JobConfig& config, Facts&) { config.training.learning_rate = 1e-5; },
        "outside 2e-05 to 5e-05"),
    NotGiven("bert_learning_rate", Bert(),
             [](JobConfig& config, Facts&) { config.training.learning_rate = 5e-5; }),
    NotGiven("bert_learning_rate", Bert(),
             [](JobConfig& config, Facts&) {
               config.training.learning_rate = 2e-4;
               config.lora.all_linear = true;
             }),
    Given(
        "bert_epochs", "training.epochs", Bert(),
        [](JobConfig& config, Facts&) { config.training.epochs = 11; }, "overfitting"),
    Given(
        "bert_epochs", "training.epochs", Bert(),
        [](JobConfig& config, Facts&) { config.training.epochs = 2; }, "train longer"),
    NotGiven("bert_epochs", Bert(), [](JobConfig& config, Facts&) { config.training.epochs = 10; }),
    NotGiven("bert_epochs", Bert(),
             [](JobConfig& config, Facts&) {
               config.training.epochs = 30;
               config.training.early_stopping_patience = 3;
             }),
    NotGiven("bert_epochs", Llm(), [](JobConfig& config, Facts&) { config.training.epochs = 1; }),
    Given(
        "bert_batch", "training.batch_size", Bert(),
        [](JobConfig& config, Facts&) { config.training.batch_size = 1; }, "a step has 1 row,"),
    NotGiven("bert_batch", Bert(),
             [](JobConfig& config, Facts&) {
               config.training.batch_size = 4;
               config.training.gradient_accumulation_steps = 4;
             }),
    Given(
        "plain_scale_at_high_rank", "lora.use_rslora", Llm(),
        [](JobConfig& config, Facts&) { config.lora.r = 32; }, "lora_alpha / sqrt(r)"),
    NotGiven("plain_scale_at_high_rank", Llm(),
             [](JobConfig& config, Facts&) { config.lora.r = 16; }),
    NotGiven("plain_scale_at_high_rank", Llm(),
             [](JobConfig& config, Facts&) {
               config.lora.r = 64;
               config.lora.use_rslora = true;
             }),
    Given(
        "dropout_on_few_documents", "lora.lora_dropout", Llm(),
        [](JobConfig& config, Facts& facts) {
          config.lora.lora_dropout = 0.2;
          facts.train_documents = 999;
        },
        "0.2 with 999 documents"),
    NotGiven("dropout_on_few_documents", Llm(),
             [](JobConfig& config, Facts& facts) {
               config.lora.lora_dropout = 0.05;
               facts.train_documents = 10;
             }),
    NotGiven("dropout_on_few_documents", Llm(),
             [](JobConfig& config, Facts& facts) {
               config.lora.lora_dropout = 0.2;
               facts.train_documents = 1000;
             }),
    Given(
        "cutoff_missing", "data.cutoff_months", Classifier(),
        [](JobConfig& config, Facts&) { config.data.cutoff_months = 0; }, "give the label away"),
    Given(
        "cutoff_missing", "data.cutoff_months", Bert(),
        [](JobConfig& config, Facts&) { config.data.cutoff_months = 0; }, "use 1 or more"),
    NotGiven("cutoff_missing", Bert(), [](JobConfig&, Facts&) {}),
    NotGiven("cutoff_missing", Llm(),
             [](JobConfig& config, Facts&) { config.data.cutoff_months = 0; }),
    Given(
        "pretraining_without_cutoff", "data.cutoff_months", Llm(),
        [](JobConfig& config, Facts&) { config.data.cutoff_months = 0; }, "use 1"),
    NotGiven("pretraining_without_cutoff", Llm(), [](JobConfig&, Facts&) {}),
};

const std::vector<Row> kRunRows = {
    Given(
        "rare_class", "training.class_weights", Classifier(),
        [](JobConfig&, Facts& facts) {
          facts.class_shares = {0.5, 0.032, 0.468};
        },
        "class 1 is 3.2 %"),
    NotGiven("rare_class", Classifier(),
             [](JobConfig&, Facts& facts) {
               facts.class_shares = {0.95, 0.05};
             }),
    NotGiven("rare_class", Classifier(), [](JobConfig&, Facts&) {}),
    NotGiven("rare_class", Llm(),
             [](JobConfig&, Facts& facts) {
               facts.class_shares = {0.99, 0.01};
             }),
    Given(
        "truncation", "model.max_length", Bert(),
        [](JobConfig& config, Facts& facts) {
          config.model.max_length = 512;
          facts.truncated_token_share = 0.41;
          facts.model_max_length = 8192;
        },
        "raise it to at most 8192"),
    Given(
        "truncation", "model.max_length", Bert(),
        [](JobConfig& config, Facts& facts) {
          config.model.max_length = 512;
          facts.truncated_token_share = 0.41;
          facts.model_max_length = 512;
        },
        "41 % of the tokens are cut off at 512"),
    NotGiven("truncation", Bert(),
             [](JobConfig&, Facts& facts) { facts.truncated_token_share = 0.3; }),
    Given(
        "medical_coverage", "data.medical_lookup_filepath", Llm(),
        [](JobConfig&, Facts& facts) { facts.medical_coverage = 0.599; }, "59.9 %"),
    NotGiven("medical_coverage", Llm(),
             [](JobConfig&, Facts& facts) { facts.medical_coverage = 0.6; }),
    Given(
        "lab_coverage", "data.lab_lookup_filepath", Llm(),
        [](JobConfig&, Facts& facts) { facts.lab_coverage = 0; }, "check its path"),
    NotGiven("lab_coverage", Llm(), [](JobConfig&, Facts& facts) { facts.lab_coverage = 1; }),
    Given(
        "evaluation_time", "training.eval_steps", Llm(),
        [](JobConfig& config, Facts& facts) {
          config.training.eval_steps = 100;
          facts.evaluation_time_share = 0.5;
        },
        "use 400 or more"),
    Given(
        "evaluation_time", "training.eval_steps", Llm(),
        [](JobConfig&, Facts& facts) { facts.evaluation_time_share = 1; },
        "more steps than an epoch has"),
    NotGiven("evaluation_time", Llm(),
             [](JobConfig&, Facts& facts) { facts.evaluation_time_share = 0.2; }),
    Given(
        "not_improving", "training.learning_rate", Llm(),
        [](JobConfig&, Facts& facts) {
          facts.tuning_losses = {1, 1.1, 1};
        },
        "none of 3 evaluations"),
    NotGiven("not_improving", Llm(),
             [](JobConfig&, Facts& facts) {
               facts.tuning_losses = {1, 1.1};
             }),
    NotGiven("not_improving", Llm(),
             [](JobConfig&, Facts& facts) {
               facts.tuning_losses = {1, 1.1, 0.9};
             }),
    Given(
        "overfitting", "training.early_stopping_patience", Llm(),
        [](JobConfig&, Facts& facts) {
          facts.tuning_losses = {1, 0.8, 0.9, 1};
        },
        "best 2 evaluations ago"),
    NotGiven("overfitting", Llm(),
             [](JobConfig&, Facts& facts) {
               facts.tuning_losses = {1, 0.9, 0.8, 0.9};
             }),
    NotGiven("overfitting", Llm(),
             [](JobConfig&, Facts& facts) {
               facts.tuning_losses = {1, 1.1, 1.2};
             }),
    NotGiven("overfitting", Llm(),
             [](JobConfig& config, Facts& facts) {
               config.training.early_stopping_patience = 5;
               facts.tuning_losses = {1, 0.8, 0.9, 1};
             }),
    Given(
        "out_of_memory", "training.batch_size", Llm(),
        [](JobConfig&, Facts& facts) { facts.out_of_memory = true; }, "batch_size: 2 with "),
    NotGiven("out_of_memory", Llm(), [](JobConfig&, Facts&) {}),
};

std::vector<Row> AllRows() {
  std::vector<Row> rows = kConfigurationRows;
  rows.insert(rows.end(), kRunRows.begin(), kRunRows.end());
  return rows;
}

TEST(Advice, IsGivenRowByRow) {
  for (const Row& row : AllRows()) {
    SCOPED_TRACE(Cat(row.id, " ", row.text));
    const Advice* found = nullptr;
    const std::vector<Advice> given = Advise(row.config, row.facts);
    for (const Advice& advice : given) found = advice.id == row.id ? &advice : found;
    ASSERT_EQ(found != nullptr, row.given);
    if (found == nullptr) continue;
    EXPECT_EQ(found->key, row.key);
    EXPECT_THAT(found->text + " | " + found->remedy, HasSubstr(row.text));
  }
}

TEST(Advice, TheSeedsOwnSettingsNeedNone) {
  for (const JobConfig& config : {Llm(), Classifier(), Bert()}) {
    EXPECT_THAT(Advise(config, {}), IsEmpty()) << NameOf(config.task);
  }
}

TEST(Advice, EveryRuleHasRowsWhereItSpeaksAndWhereItIsSilent) {
  std::set<std::pair<std::string, bool>> rows, rules;
  for (const Row& row : AllRows()) rows.insert({row.id, row.given});
  for (const std::string_view id : AdviceRules()) {
    rules.insert({std::string(id), true});
    rules.insert({std::string(id), false});
  }
  EXPECT_EQ(rows, rules);
}

TEST(Advice, EveryRuleIsInTheReference) {
  const std::string reference = testing::Slurp(testing::SourceFile("docs/cli.md"));
  for (const std::string_view id : AdviceRules()) {
    EXPECT_THAT(reference, HasSubstr(Cat("`", id, "`"))) << id;
  }
}

TEST(Advice, KeysAreThoseOfTheSchema) {
  for (const Row& row : AllRows()) {
    EXPECT_EQ(row.given, FindKey(row.key) != nullptr) << row.key;
  }
}

TEST(Advice, ToDataTasksNothingIsSaid) {
  JobConfig config = Llm();
  config.task = Task::kPrepare;
  config.training.learning_rate = 1;
  config.data.cutoff_months = 0;
  EXPECT_THAT(Advise(config, {.compute_capability = 90, .total_steps = 0, .out_of_memory = true}),
              IsEmpty());
}

std::string OutOfMemoryRemedy(const JobConfig& config) {
  return Advise(config, {.out_of_memory = true}).at(0).remedy;
}

TEST(OutOfMemory, ProposesWhatIsLeftInTheSeedsOrder) {
  const std::string remedy = OutOfMemoryRemedy(Llm());
  size_t from = 0;
  for (const char* setting : {"load_in_4bit", "batch_size: 2", "gradient_accumulation_steps: 8",
                              "gradient_checkpointing", "model.max_length: 1024"}) {
    const KeyRow* row = FindKey(Cat("training.", setting));
    if (row != nullptr && IsNotBuilt(*row, true)) continue;
    const size_t at = remedy.find(setting, from);
    ASSERT_NE(at, std::string::npos) << setting << " in " << remedy;
    from = at;
  }
  JobConfig config = Llm();
  config.training.load_in_4bit = config.training.gradient_checkpointing = true;
  config.training.batch_size = 1;
  EXPECT_EQ(OutOfMemoryRemedy(config), "try, one after the other: model.max_length: 1024");
  config.model.max_length = 2;
  EXPECT_EQ(OutOfMemoryRemedy(config), "take a smaller model");
}

TEST(OutOfMemory, KeepsTheRowsOfAStepWhereItCan) {
  JobConfig config = Llm();
  EXPECT_THAT(OutOfMemoryRemedy(config), HasSubstr("(the same rows a step)"));
  config.training.batch_size = 3;
  config.training.gradient_accumulation_steps = 1;
  EXPECT_THAT(OutOfMemoryRemedy(config),
              HasSubstr("batch_size: 1 with gradient_accumulation_steps: 3 (the same rows"));
  config.training.batch_size = 5;
  EXPECT_THAT(OutOfMemoryRemedy(config),
              AllOf(HasSubstr("batch_size: 2 with gradient_accumulation_steps: 3"),
                    Not(HasSubstr("the same rows"))));
}

TEST(OutOfMemory, ABertHasNoFourBits) {
  EXPECT_THAT(OutOfMemoryRemedy(Bert()), Not(HasSubstr("load_in_4bit")));
}

TEST(Advice, IsALineOfSeverityKeyTextAndRemedy) {
  const Advice advice{"x", Severity::kWarning, "data.cutoff_months", "is 0", "use 1"};
  EXPECT_EQ(LineOf(advice), "warning: data.cutoff_months: is 0; use 1");
  EXPECT_EQ(SeverityOfLine(LineOf(advice)), Severity::kWarning);
  EXPECT_EQ(SeverityOfLine("tip: lora.r: x; y"), Severity::kTip);
  EXPECT_EQ(SeverityOfLine("training.framework: unsloth runs"), std::nullopt);
}

TEST(Advice, ReadsARealConfiguration) {
  const auto config = Load(kSmall, {"training.learning_rate=0.01", "data.cutoff_months=1"});
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<Advice> given = Advise(*config, {});
  ASSERT_EQ(given.size(), 1U);
  EXPECT_EQ(given[0].id, "lora_learning_rate");
}

}  // namespace
}  // namespace anamnesis::config
