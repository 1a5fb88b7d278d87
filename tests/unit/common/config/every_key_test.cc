// SPDX-License-Identifier: Apache-2.0
// Every key of the table has an effect: here that a value other than the default reaches JobConfig
// or is refused. The named effects themselves (plan field, metric, file) are tested by those who
// make them; a key without a row here fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/config/schema.h"
#include "tests/unit/common/config/config_text.h"

namespace anamnesis::config {
namespace {

using ::testing::HasSubstr;

struct Effect {
  const char* value;   // not the default, as of --set
  const char* effect;  // plan:<field>, plan:<section>, metric:<name>, file:<what>, or refused
  Task task = Task::kPretrainLlm;
  std::vector<std::string> also = {};  // settings without which the key means nothing
};

using EffectTable = std::map<std::string, Effect>;

EffectTable EffectsOnTrackers() {
  return {
      {"wandb.enabled", {"true", "plan:output.wandb.enabled"}},
      {"wandb.project", {"p", "plan:output.wandb.project"}},
      {"wandb.run_name", {"r", "plan:output.wandb.run_name"}},
      {"wandb.mode", {"disabled", "plan:output.wandb.mode"}},
      {"wandb.entity", {"e", "plan:output.wandb.entity"}},
      {"wandb.group", {"g", "plan:output.wandb.group"}},
      {"wandb.job_type", {"j", "plan:output.wandb.job_type"}},
      {"wandb.notes", {"n", "plan:output.wandb.notes"}},
      {"wandb.tags", {"[t]", "plan:output.wandb.tags"}},
  };
}

constexpr char kTemplate[] = "data.prompt.template='{narrative}'";

EffectTable EffectsOnPrompts() {
  return {
      {"data.prompt.template",
       {"'{narrative}'",
        "plan:data.stream.prompt",
        Task::kFinetuneLlm,
        {"data.prompt.answers={0: a}"}}},
      {"data.prompt.question",
       {"Why?",
        "plan:data.stream.prompt",
        Task::kFinetuneLlm,
        {kTemplate, "data.prompt.answers={0: a}"}}},
      {"data.prompt.answers",
       {"{0: no, 1: yes}", "plan:data.stream.prompt", Task::kFinetuneLlm, {kTemplate}}},
  };
}

EffectTable EffectsOnTheRest() {
  return {
      {"model.model_name", {"/models/other", "plan:model.name"}},
      {"model.max_length", {"64", "plan:data.stream.max_length"}},
      {"model.num_classes", {"3", "plan:classifier.class_names", Task::kFinetuneBert}},
      {"model.revision", {"abc", "plan:model.directory"}},
      {"model.pretrained_checkpoint", {"/x", "plan:model.initial_adapter", Task::kFinetuneLlm}},
      {"model.head_type", {"mlp", "refused"}},
      {"model.freeze_llm", {"false", "refused"}},
      {"model.train_lora", {"false", "refused"}},
      {"data.data_dir", {"/other", "plan:data.shards_directory"}},
      {"data.vocab_filepath", {"/other", "plan:data.shards_directory"}},
      {"data.labels_filepath", {"/other", "plan:data.shards_directory"}},
      {"data.medical_lookup_filepath", {"/other", "plan:data.shards_directory"}},
      {"data.lab_lookup_filepath", {"/other", "plan:data.shards_directory"}},
      {"data.region_lookup_filepath", {"/other", "plan:data.shards_directory"}},
      {"data.time_lookup_filepath", {"/other", "plan:data.shards_directory"}},
      {"data.cutoff_months", {"3", "plan:data.stream.cutoff_months"}},
      {"data.profile", {"fused", "refused"}},
      {"data.value_mode", {"raw", "refused"}},
      {"data.time_mode", {"delta", "refused"}},
      {"data.unknown_tokens", {"drop", "plan:data.shards_directory"}},
      {"data.apply_to", {"all", "plan:data.stream.apply_to"}},
      {"data.boundary", {"inclusive", "plan:data.stream.boundary"}},
      {"data.on_missing_date", {"keep", "plan:data.stream.on_missing_date"}},
      {"data.truncation", {"oldest", "refused"}},
      {"lora.r", {"4", "plan:lora.r"}},
      {"lora.lora_alpha", {"32", "plan:lora.alpha"}},
      {"lora.lora_dropout", {"0.5", "plan:lora.dropout"}},
      {"lora.target_modules", {"all-linear", "plan:lora.all_linear"}},
      {"lora.use_rslora", {"true", "plan:lora.use_rslora"}},
      {"lora.modules_to_save", {"[lm_head]", "plan:lora.modules_to_save"}},
      {"lora.exclude_modules", {"[k_proj]", "plan:lora.exclude_modules"}},
      {"lora.bias", {"all", "refused"}},
      {"lora.rank_pattern", {"{q_proj: 4}", "plan:lora.rank_pattern"}},
      {"lora.alpha_pattern", {"{q_proj: 4}", "plan:lora.alpha_pattern"}},
      {"training.output_dir", {"/elsewhere", "plan:output.directory"}},
      {"training.overwrite_output_dir", {"true", "file:output_dir"}},
      {"training.framework", {"peft", "plan:training.framework"}},
      {"training.epochs", {"2", "plan:training.epochs"}},
      {"training.batch_size", {"2", "plan:training.batch_size"}},
      {"training.learning_rate", {"1e-5", "plan:training.learning_rate"}},
      {"training.weight_decay", {"0.1", "plan:training.weight_decay"}},
      {"training.gradient_accumulation_steps", {"2", "plan:training.gradient_accumulation_steps"}},
      {"training.gradient_checkpointing", {"true", "plan:training.gradient_checkpointing"}},
      {"training.load_in_4bit", {"true", "plan:model.quantisation"}},
      {"training.fp16", {"true", "plan:model.dtype"}},
      {"training.bf16", {"true", "plan:model.dtype"}},
      {"training.warmup_steps", {"3", "plan:training.warmup_steps"}},
      {"training.logging_steps", {"3", "plan:training.logging_steps"}},
      {"training.eval_steps", {"3", "plan:training.eval_steps"}},
      {"training.save_steps", {"3", "plan:training.save_steps"}},
      {"training.seed", {"7", "plan:training.seed"}},
      {"training.lanes", {"8", "plan:training.lanes"}},
      {"training.determinism", {"fast", "plan:training.determinism"}},
      {"training.threads_per_rank", {"3", "plan:gang.threads"}},
      {"training.lr_scheduler_type", {"cosine", "plan:training.lr_scheduler_type"}},
      {"training.max_grad_norm", {"0", "plan:training.max_grad_norm"}},
      {"training.eval_batch_size", {"3", "plan:training.eval_batch_size"}},
      {"training.save_total_limit", {"3", "plan:training.save_total_limit"}},
      {"training.early_stopping_patience", {"3", "plan:training.early_stopping_patience"}},
      {"training.loss", {"focal", "plan:classifier.loss", Task::kFinetuneBert}},
      {"training.focal_gamma", {"3", "plan:classifier.focal_gamma", Task::kFinetuneBert}},
      {"training.class_weights", {"[1, 2]", "plan:classifier.class_weights", Task::kFinetuneBert}},
      {"resources.ranks", {"2", "plan:gang.num_ranks"}},
      {"resources.ranks_per_node", {"2", "refused"}},
      {"audit", {"strict", "refused"}},
  };
}

const EffectTable& Effects() {
  static const auto* effects = [] {
    auto* all = new EffectTable(EffectsOnTheRest());
    all->merge(EffectsOnTrackers());
    all->merge(EffectsOnPrompts());
    return all;
  }();
  return *effects;
}

// All typed members of a JobConfig, so that a difference shows which a key reaches.
Json MembersOf(const JobConfig& job) {
  const LoraSection& lora = job.lora;
  const DataSection& data = job.data;
  const TrainingSection& training = job.training;
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(); };
  return {{"model",
           {job.model.model_name, job.model.max_length, job.model.revision, job.model.num_classes,
            job.model.pretrained_checkpoint}},
          {"wandb", job.resolved.at("wandb")},
          {"data",
           {data.data_dir, data.vocab_filepath, data.labels_filepath, data.medical_lookup_filepath,
            data.lab_lookup_filepath, data.region_lookup_filepath, data.time_lookup_filepath,
            data.cutoff_months, data.profile, data.value_mode, data.time_mode, data.unknown_tokens,
            data.apply_to, data.boundary, data.on_missing_date, data.truncation,
            data.prompt_template, data.prompt_question, data.prompt_answers}},
          {"lora",
           {lora.r, lora.lora_alpha, lora.lora_dropout, lora.use_rslora, lora.target_modules,
            lora.target_regex, lora.all_linear, lora.modules_to_save, lora.exclude_modules,
            lora.bias, lora.rank_pattern, lora.alpha_pattern}},
          {"training",
           {training.output_dir,
            training.overwrite_output_dir,
            training.framework,
            training.epochs,
            training.batch_size,
            training.gradient_accumulation_steps,
            training.learning_rate,
            training.weight_decay,
            training.bf16,
            training.fp16,
            training.gradient_checkpointing,
            training.load_in_4bit,
            training.warmup_steps,
            training.logging_steps,
            training.eval_steps,
            training.save_steps,
            training.seed,
            or_null(training.lanes),
            training.determinism,
            or_null(training.threads_per_rank),
            training.lr_scheduler_type,
            training.max_grad_norm,
            or_null(training.eval_batch_size),
            training.save_total_limit,
            training.early_stopping_patience,
            training.loss,
            training.focal_gamma,
            training.class_weights}},
          {"job", {job.wandb_enabled, or_null(job.ranks), job.audit}}};
}

StatusOr<JobConfig> LoadTask(Task task, const std::vector<std::string>& overrides) {
  return Load(kSmall, overrides, task);
}

TEST(EveryKey, HasARowInTheTableOfEffects) {
  for (const KeyRow& row : Schema()) {
    EXPECT_TRUE(Effects().contains(std::string(row.path))) << row.path;
  }
  EXPECT_EQ(Effects().size(), Schema().size());
}

TEST(EveryKey, ChangesTheJobOrIsRefused) {
  for (const auto& [key, effect] : Effects()) {
    const auto before = LoadTask(effect.task, {});
    ASSERT_TRUE(before.ok()) << before.status();
    std::vector<std::string> settings = effect.also;
    settings.push_back(Cat(key, "=", effect.value));
    const auto after = LoadTask(effect.task, settings);
    if (std::string(effect.effect) == "refused") {
      EXPECT_EQ(after.status().code(), absl::StatusCode::kUnimplemented) << key;
      EXPECT_THAT(MessageOf(after.status()), HasSubstr("not built yet")) << key;
      continue;
    }
    ASSERT_TRUE(after.ok()) << key << ": " << after.status();
    EXPECT_NE(MembersOf(*before), MembersOf(*after)) << key << " reaches no member of JobConfig";
    EXPECT_NE(before->resolved, after->resolved) << key;
  }
}

TEST(EveryKey, HasHelpAndADefaultOfItsType) {
  for (const KeyRow& row : Schema()) {
    EXPECT_FALSE(row.help.empty()) << row.path;
    EXPECT_NE(row.tasks, 0U) << row.path;
    EXPECT_EQ(row.required & ~row.tasks, 0U) << row.path;
    EXPECT_EQ(row.type == ValueType::kEnum, !row.choices.empty()) << row.path;
    const Json fallback = DefaultOf(row);
    if (fallback.is_null()) continue;
    const std::string text = fallback.is_string() ? fallback.get<std::string>() : fallback.dump();
    const auto tasks = AllTasks();
    const Task task = *std::find_if(tasks.begin(), tasks.end(),
                                    [&](Task each) { return Contains(row.tasks, each); });
    const auto job = LoadTask(task, {Cat(row.path, "=", text)});
    EXPECT_TRUE(job.ok()) << row.path << ": " << job.status();
  }
}

}  // namespace
}  // namespace anamnesis::config
