// SPDX-License-Identifier: Apache-2.0
#include "common/config/schema.h"

#include <algorithm>
#include <sstream>

#include "common/base/check.h"

namespace anamnesis::config {
namespace {

constexpr TaskSet kLlm =
    Only(Task::kPretrainLlm) | Only(Task::kFinetuneLlm) | Only(Task::kClassifyLlm);
constexpr TaskSet kBert = Only(Task::kFinetuneBert) | Only(Task::kPretrainBert);
constexpr TaskSet kTraining = kLlm | kBert;
constexpr TaskSet kClassification = Only(Task::kClassifyLlm) | Only(Task::kFinetuneBert);
constexpr TaskSet kFromCheckpoint = Only(Task::kFinetuneLlm) | Only(Task::kClassifyLlm);
constexpr TaskSet kLabelled = kFromCheckpoint | Only(Task::kFinetuneBert);
constexpr TaskSet kNeedsLabels = kTraining | Only(Task::kPrepare);
constexpr TaskSet kAll = kNeedsLabels | Only(Task::kPredict);

constexpr double kMaxCount = 1e9;
constexpr Range kFromZero = {.min = 0, .max = kMaxCount};
constexpr Range kFromOne = {.min = 1, .max = kMaxCount};

constexpr SectionRow kSections[] = {
    {"model", "The base model."},
    {"data", "Patient histories in the seed layout, and the rules that make narratives of them."},
    {"data.prompt", "The question put to a model in labelled fine-tuning."},
    {"lora", "The low-rank adapter (PEFT's names and meanings)."},
    {"training", "The run: outputs, optimiser, steps, determinism."},
    {"resources", "Ranks of the gang."},
    {"wandb", "Weights & Biases. A section without `enabled` means enabled."},
};

using enum ValueType;

// In the order of the reference: sections as above, the seed's keys first.
constexpr KeyRow kKeys[] = {
    // model
    {.path = "model.model_name",
     .type = kString,
     .tasks = kTraining,
     .required = kTraining,
     .help =
         "Base model: a directory in Hugging Face layout, or a name in the Hugging Face cache."},
    {.path = "model.max_length",
     .type = kInt,
     .tasks = kTraining,
     .required = kTraining,
     .range = {.min = 2, .max = 1 << 20},
     .help = "Tokens in a row."},
    {.path = "model.num_classes",
     .type = kInt,
     .tasks = kClassification,
     .range = {.min = 2, .max = 1 << 16},
     .not_built = "*",
     .help = "Classes of a classifier: 2, or 1 + the number of sites."},
    {.path = "model.revision",
     .type = kString,
     .tasks = kTraining,
     .help = "Revision of a model in the Hugging Face cache; unset: main."},
    {.path = "model.pretrained_checkpoint",
     .type = kPath,
     .tasks = kLabelled,
     .not_built = "*",
     .help =
         "Adapter or model to start from, such as the final_model folder of a pretraining run."},
    {.path = "model.head_type",
     .type = kEnum,
     .tasks = kClassification,
     .choices = "linear|mlp|deep_mlp",
     .not_built = "*",
     .help = "Classification head."},
    {.path = "model.freeze_llm",
     .type = kBool,
     .tasks = Only(Task::kClassifyLlm),
     .not_built = "*",
     .help = "Train the head alone."},
    {.path = "model.train_lora",
     .type = kBool,
     .tasks = Only(Task::kClassifyLlm),
     .not_built = "*",
     .help = "Train the adapter together with the head."},
    // data
    {.path = "data.data_dir",
     .type = kPath,
     .tasks = kAll,
     .required = kAll,
     .help = "Folder with train, tuning and held_out."},
    {.path = "data.vocab_filepath",
     .type = kPath,
     .tasks = kAll,
     .required = kAll,
     .help = "Vocabulary: token,str,count."},
    {.path = "data.labels_filepath",
     .type = kPath,
     .tasks = kAll,
     .required = kNeedsLabels,
     .help = "Labels: subject_id,is_case,site,cancerdate."},
    {.path = "data.medical_lookup_filepath",
     .type = kPath,
     .tasks = kAll,
     .help = "Terms of MEDICAL// and MEASUREMENT// codes: code,term. Unset: codes stay codes."},
    {.path = "data.lab_lookup_filepath",
     .type = kPath,
     .tasks = kAll,
     .help = "Terms of LAB// codes: code,term. Unset: codes stay codes."},
    {.path = "data.region_lookup_filepath",
     .type = kPath,
     .tasks = kAll,
     .help = "Terms of REGION// codes: code,term."},
    {.path = "data.time_lookup_filepath",
     .type = kPath,
     .tasks = kAll,
     .help = "Terms of <time_interval_...> tokens: code,term."},
    {.path = "data.cutoff_months",
     .type = kInt,
     .default_json = "0",
     .tasks = kAll,
     .range = {.min = 0, .max = 1200},
     .help = "Calendar months before the anchor date from which events are removed."},
    {.path = "data.profile",
     .type = kEnum,
     .default_json = "\"seed\"",
     .tasks = kAll,
     .choices = "seed|fused",
     .not_built = "fused",
     .help = "Rule table that turns tokens to text."},
    {.path = "data.value_mode",
     .type = kString,
     .tasks = kAll,
     .not_built = "*",
     .help = "How numeric values become text, where the source has them."},
    {.path = "data.time_mode",
     .type = kEnum,
     .default_json = "\"none\"",
     .tasks = kAll,
     .choices = "none|interval|delta|age|date",
     .not_built = "interval|delta|age|date",
     .help = "How time between events becomes text."},
    {.path = "data.unknown_tokens",
     .type = kEnum,
     .default_json = "\"keep-code\"",
     .tasks = kAll,
     .choices = "keep-code|drop|unknown|error",
     .help = "What becomes of a token that no rule matches."},
    {.path = "data.apply_to",
     .type = kEnum,
     .default_json = "\"cases\"",
     .tasks = kAll,
     .choices = "cases|all",
     .help = "Whom the cutoff applies to; all: controls too, before their last event."},
    {.path = "data.boundary",
     .type = kEnum,
     .default_json = "\"exclusive\"",
     .tasks = kAll,
     .choices = "exclusive|inclusive",
     .help = "exclusive keeps events before the cutoff, inclusive also those at it."},
    {.path = "data.on_missing_date",
     .type = kEnum,
     .default_json = "\"error\"",
     .tasks = kAll,
     .choices = "error|keep|drop",
     .help = "A case without a usable date: stop, keep uncut, drop."},
    {.path = "data.truncation",
     .type = kEnum,
     .tasks = kAll,
     .choices = "newest|oldest|header+newest|random|balanced_random|step_through",
     .not_built = "*",
     .help = "What a document longer than max_length keeps; pretraining splits and loses nothing."},
    {.path = "data.prompt.template",
     .type = kString,
     .tasks = Only(Task::kFinetuneLlm),
     .not_built = "*",
     .help = "Text with {narrative} and {question}."},
    {.path = "data.prompt.question",
     .type = kString,
     .tasks = Only(Task::kFinetuneLlm),
     .not_built = "*",
     .help = "The question."},
    {.path = "data.prompt.answers",
     .type = kStringMap,
     .tasks = Only(Task::kFinetuneLlm),
     .not_built = "*",
     .help = "Answer of each class: {0: ..., 1: ...}."},
    // lora
    {.path = "lora.r",
     .type = kInt,
     .default_json = "8",
     .tasks = kTraining,
     .range = {.min = 1, .max = 1 << 16},
     .help = "Rank of the adapter."},
    {.path = "lora.lora_alpha",
     .type = kFloat,
     .default_json = "8",
     .tasks = kTraining,
     .range = {.min = 0, .above_min = true},
     .help = "Scale: the update is multiplied by lora_alpha / r."},
    {.path = "lora.lora_dropout",
     .type = kFloat,
     .default_json = "0",
     .tasks = kTraining,
     .range = {.min = 0, .max = 1, .below_max = true},
     .help = "Dropout before the adapter."},
    {.path = "lora.target_modules",
     .type = kStringOrList,
     .tasks = kTraining,
     .required = kLlm,
     .help =
         "Linear layers to adapt: names, a regular expression of the whole path, or all-linear."},
    {.path = "lora.use_rslora",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .help = "Rank-stabilised scale: lora_alpha / sqrt(r)."},
    {.path = "lora.modules_to_save",
     .type = kStringList,
     .default_json = "[]",
     .tasks = kTraining,
     .help = "Modules trained whole and saved with the adapter."},
    {.path = "lora.exclude_modules",
     .type = kStringList,
     .default_json = "[]",
     .tasks = kTraining,
     .help = "Modules left out of target_modules."},
    {.path = "lora.bias",
     .type = kEnum,
     .default_json = "\"none\"",
     .tasks = kTraining,
     .choices = "none|all|lora_only",
     .not_built = "all|lora_only",
     .help = "Biases to train."},
    {.path = "lora.rank_pattern",
     .type = kIntMap,
     .default_json = "{}",
     .tasks = kTraining,
     .range = {.min = 1, .max = 1 << 16},
     .help = "Ranks of single modules: {name: r}."},
    {.path = "lora.alpha_pattern",
     .type = kFloatMap,
     .default_json = "{}",
     .tasks = kTraining,
     .range = {.min = 0, .above_min = true},
     .help = "Alphas of single modules: {name: alpha}."},
    // training
    {.path = "training.output_dir",
     .type = kPath,
     .tasks = kTraining,
     .required = kTraining,
     .help = "Folder of checkpoints, the final model and the run's logs."},
    {.path = "training.overwrite_output_dir",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .help = "Start anew where an earlier run of ours has written."},
    {.path = "training.framework",
     .type = kEnum,
     .default_json = "\"unsloth\"",
     .tasks = kTraining,
     .choices = "unsloth|peft",
     .help =
         "Engine: unsloth (fused; the reference engine until it is built) or peft (reference)."},
    {.path = "training.epochs",
     .type = kInt,
     .default_json = "1",
     .tasks = kTraining,
     .range = {.min = 1, .max = 1e6},
     .help = "Passes over the train split."},
    {.path = "training.batch_size",
     .type = kInt,
     .default_json = "1",
     .tasks = kTraining,
     .range = {.min = 1, .max = 1 << 20},
     .help = "Rows of a micro-batch."},
    {.path = "training.learning_rate",
     .type = kFloat,
     .default_json = "2e-4",
     .tasks = kTraining,
     .range = {.min = 0, .above_min = true},
     .help = "Peak learning rate of AdamW."},
    {.path = "training.weight_decay",
     .type = kFloat,
     .default_json = "0",
     .tasks = kTraining,
     .range = {.min = 0},
     .help = "Decoupled weight decay of AdamW."},
    {.path = "training.gradient_accumulation_steps",
     .type = kInt,
     .default_json = "1",
     .tasks = kTraining,
     .range = {.min = 1, .max = 1 << 20},
     .help =
         "Micro-batches of a step: a step has batch_size x this many rows on any number of ranks."},
    {.path = "training.gradient_checkpointing",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .not_built = "true",
     .help = "Recompute activations to save memory."},
    {.path = "training.load_in_4bit",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .not_built = "true",
     .help = "QLoRA: the base in NF4."},
    {.path = "training.fp16",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .not_built = "true",
     .help = "Compute in float16 with loss scaling."},
    {.path = "training.bf16",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .help = "Compute in bfloat16; adapters keep float32 masters."},
    {.path = "training.warmup_steps",
     .type = kInt,
     .default_json = "0",
     .tasks = kTraining,
     .range = kFromZero,
     .help = "Steps of linear warm-up."},
    {.path = "training.logging_steps",
     .type = kInt,
     .default_json = "500",
     .tasks = kTraining,
     .range = kFromOne,
     .help = "Steps between two logged metrics."},
    {.path = "training.eval_steps",
     .type = kInt,
     .default_json = "0",
     .tasks = kTraining,
     .range = kFromZero,
     .help = "Steps between two evaluations on tuning; 0: once an epoch."},
    {.path = "training.save_steps",
     .type = kInt,
     .default_json = "0",
     .tasks = kTraining,
     .range = kFromZero,
     .help = "Steps between two checkpoints; 0: once an epoch."},
    {.path = "training.seed",
     .type = kInt,
     .default_json = "42",
     .tasks = kTraining,
     .range = {.min = 0, .max = 9007199254740992.0},
     .help = "Seed of every random number."},
    {.path = "training.lanes",
     .type = kInt,
     .tasks = kTraining,
     .range = {.min = 1, .max = 4096},
     .help = "Gradient lanes, a power of two and the most ranks that fit; unset: the largest one "
             "<= min(16, rows of a step)."},
    {.path = "training.determinism",
     .type = kEnum,
     .default_json = "\"exact\"",
     .tasks = kTraining,
     .choices = "exact|fast",
     .help = "exact: the same bits on any number of ranks; fast: one all-reduce."},
    {.path = "training.threads_per_rank",
     .type = kInt,
     .tasks = kTraining,
     .range = {.min = 1, .max = 1024},
     .help = "CPU threads of a rank; unset: cores / ranks."},
    {.path = "training.lr_scheduler_type",
     .type = kEnum,
     .default_json = "\"linear\"",
     .tasks = kTraining,
     .choices = "linear|cosine|constant|constant_with_warmup",
     .help = "Learning rate after the warm-up."},
    {.path = "training.max_grad_norm",
     .type = kFloat,
     .default_json = "1.0",
     .tasks = kTraining,
     .range = {.min = 0},
     .help = "Clip the gradient's norm to this; 0: no clipping."},
    {.path = "training.eval_batch_size",
     .type = kInt,
     .tasks = kTraining,
     .range = {.min = 1, .max = 1 << 20},
     .help = "Rows of an evaluation batch; unset: batch_size."},
    {.path = "training.save_total_limit",
     .type = kInt,
     .default_json = "0",
     .tasks = kTraining,
     .range = kFromZero,
     .help = "Newest checkpoints to keep; 0: all."},
    {.path = "training.early_stopping_patience",
     .type = kInt,
     .default_json = "0",
     .tasks = kTraining,
     .range = kFromZero,
     .help = "Evaluations without improvement before the run stops; 0: never."},
    {.path = "training.loss",
     .type = kEnum,
     .default_json = "\"cross_entropy\"",
     .tasks = kTraining,
     .choices = "cross_entropy|focal",
     .not_built = "focal",
     .help = "Loss function."},
    {.path = "training.class_weights",
     .type = kNumberList,
     .tasks = kLabelled,
     .range = {.min = 0},
     .not_built = "*",
     .help = "Weight of each class in the loss."},
    // resources
    {.path = "resources.ranks",
     .type = kIntOrRange,
     .tasks = kTraining,
     .range = {.min = 1, .max = 4096},
     .not_built = "range",
     .help = "Ranks of the gang, N or {min: N, max: M}; --ranks goes first."},
    {.path = "resources.ranks_per_node",
     .type = kInt,
     .tasks = kTraining,
     .range = {.min = 1, .max = 4096},
     .not_built = "*",
     .help = "Ranks on one node."},
    // wandb
    {.path = "wandb.enabled",
     .type = kBool,
     .default_json = "false",
     .tasks = kTraining,
     .not_built = "true",
     .help = "Write offline run files; the default is true where there is a wandb section."},
    {.path = "wandb.project", .type = kString, .tasks = kTraining, .help = "Project name."},
    {.path = "wandb.run_name", .type = kString, .tasks = kTraining, .help = "Name of the run."},
    // top level
    {.path = "audit",
     .type = kEnum,
     .default_json = "\"default\"",
     .tasks = kTraining,
     .choices = "default|strict",
     .not_built = "strict",
     .help = "Which findings of the audit stop a job; strict: warnings too."},
};

constexpr Task kTasks[] = {Task::kPretrainLlm,  Task::kFinetuneLlm,  Task::kClassifyLlm,
                           Task::kFinetuneBert, Task::kPretrainBert, Task::kPrepare,
                           Task::kPredict};

std::string NumberText(double value) {
  std::ostringstream out;
  out.precision(16);
  out << value;
  return out.str();
}

std::string RangeText(const Range& range) {
  const std::string low = Cat(range.above_min ? "> " : "≥ ", NumberText(range.min));
  const std::string high = Cat(range.below_max ? "< " : "≤ ", NumberText(range.max));
  const bool has_low = range.min > -std::numeric_limits<double>::infinity();
  // A bound that only keeps numbers sane is no news to a reader.
  const bool has_high = range.max < kMaxCount;
  if (has_low && has_high) return Cat(" ", low, " and ", high);
  if (has_low) return Cat(" ", low);
  return has_high ? Cat(" ", high) : "";
}

}  // namespace

std::span<const KeyRow> Schema() { return kKeys; }

std::span<const SectionRow> Sections() { return kSections; }

const KeyRow* FindKey(std::string_view path) {
  const auto* row = std::find_if(std::begin(kKeys), std::end(kKeys),
                                 [&](const KeyRow& candidate) { return candidate.path == path; });
  return row == std::end(kKeys) ? nullptr : row;
}

bool IsSection(std::string_view path) {
  return std::any_of(std::begin(kSections), std::end(kSections),
                     [&](const SectionRow& section) { return section.path == path; });
}

std::vector<std::string> SplitChoices(std::string_view choices) {
  std::vector<std::string> parts;
  while (!choices.empty()) {
    const size_t bar = choices.find('|');
    parts.emplace_back(choices.substr(0, bar));
    if (bar == std::string_view::npos) break;
    choices.remove_prefix(bar + 1);
  }
  return parts;
}

Json DefaultOf(const KeyRow& row) {
  StatusOr<Json> value = ParseJson(row.default_json, std::string(row.path));
  ANAM_CHECK(value.ok());
  if (row.type == kFloat && value->is_number()) return value->get<double>();
  return *value;
}

std::string ExpectedOf(const KeyRow& row) {
  const std::string range = RangeText(row.range);
  switch (row.type) {
    case kString:
      return "a text";
    case kPath:
      return "a path";
    case kInt:
      return Cat("an integer", range);
    case kFloat:
      return Cat("a number", range);
    case kBool:
      return "true or false";
    case kEnum: {
      std::string text = "one of ";
      for (const std::string& choice : SplitChoices(row.choices)) {
        text += Cat(text.back() == ' ' ? "" : ", ", choice);
      }
      return text;
    }
    case kStringList:
      return "a list of names, [a, b]";
    case kStringOrList:
      return "a text or a list of names, [a, b]";
    case kNumberList:
      return Cat("a list of numbers", range);
    case kIntMap:
      return Cat("a map of names to integers", range, ", {name: 8}");
    case kFloatMap:
      return Cat("a map of names to numbers", range, ", {name: 8}");
    case kStringMap:
      return "a map of names to texts, {name: text}";
    case kIntOrRange:
      return Cat("an integer", range, " or {min: N, max: M}");
  }
  return "";
}

bool IsNotBuilt(const KeyRow& row, const Json& value) {
  if (row.not_built.empty() || value.is_null()) return false;
  if (row.not_built == "*") return value != DefaultOf(row);
  if (row.type == kIntOrRange) return value.is_object();
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  const std::vector<std::string> refused = SplitChoices(row.not_built);
  return std::find(refused.begin(), refused.end(), text) != refused.end();
}

std::span<const Task> AllTasks() { return kTasks; }

bool IsBuilt(Task task) { return task == Task::kPretrainLlm || task == Task::kPrepare; }

bool ReadsDataOnly(Task task) { return task == Task::kPrepare || task == Task::kPredict; }

std::string NamesOf(TaskSet tasks) {
  std::string names;
  for (const Task task : kTasks) {
    if (Contains(tasks, task)) names += Cat(names.empty() ? "" : ", ", NameOf(task));
  }
  return names;
}

}  // namespace anamnesis::config
