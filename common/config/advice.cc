// SPDX-License-Identifier: Apache-2.0
#include "common/config/advice.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "common/config/schema.h"

namespace anamnesis::config {
namespace {

constexpr int kAmpere = 80;
constexpr double kRarestClass = 0.05;
constexpr double kMostTruncated = 0.30;
constexpr double kLeastCoverage = 0.60;
constexpr double kMostEvaluation = 0.20;
constexpr double kLeastLoraRate = 1e-5, kMostLoraRate = 5e-4;
constexpr double kLeastBertRate = 2e-5, kMostBertRate = 5e-5;
constexpr int64_t kLeastBertEpochs = 3, kMostBertEpochs = 10;
constexpr int64_t kLeastBertRows = 16;
// "Higher r", "smaller datasets": the advice has no numbers of its own for these.
constexpr int64_t kHighRank = 32;
constexpr int64_t kFewDocuments = 1000;
constexpr double kHighDropout = 0.1;
// Evaluations without a better loss after which a trend is believed.
constexpr size_t kFewestEvaluations = 3;

struct Finding {
  std::string key, text, remedy;
};

struct Rule {
  std::string_view id;
  Severity severity;
  std::optional<Finding> (*judge)(const JobConfig& config, const Facts& facts);
};

std::string Percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", 100 * share);
  return text;
}

bool IsLlm(Task task) {
  return task == Task::kPretrainLlm || task == Task::kFinetuneLlm || task == Task::kClassifyLlm;
}

bool Trains(const JobConfig& config) { return !ReadsDataOnly(config.task); }

bool HasAdapter(const JobConfig& config) {
  const LoraSection& lora = config.lora;
  return Trains(config) &&
         (!lora.target_modules.empty() || !lora.target_regex.empty() || lora.all_linear);
}

// Whether this build takes that value.
bool IsOffered(std::string_view key, const Json& value) {
  const KeyRow* row = FindKey(key);
  return row != nullptr && !IsNotBuilt(*row, value);
}

std::optional<Finding> WarmupCoversRun(const JobConfig& config, const Facts& facts) {
  const int64_t warmup = config.training.warmup_steps;
  if (!Trains(config) || !facts.total_steps || warmup == 0 || warmup < *facts.total_steps) {
    return std::nullopt;
  }
  return Finding{
      "training.warmup_steps",
      Cat(warmup, " warm-up steps of ", *facts.total_steps,
          " in all: the learning rate never gets beyond its warm-up"),
      Cat("use at most ", std::max<int64_t>(1, *facts.total_steps / 10), ", a tenth of the steps")};
}

std::optional<Finding> Bf16BeforeAmpere(const JobConfig& config, const Facts& facts) {
  if (!config.training.bf16 || !facts.compute_capability || *facts.compute_capability >= kAmpere) {
    return std::nullopt;
  }
  const int capability = *facts.compute_capability;
  return Finding{
      "training.bf16",
      Cat("the GPU has compute capability ", capability / 10, ".", capability % 10,
          ", bfloat16 arithmetic comes with 8.0 (Ampere)"),
      IsOffered("training.fp16", true) ? "use bf16: false with fp16: true" : "use bf16: false"};
}

std::optional<Finding> Bf16Unused(const JobConfig& config, const Facts& facts) {
  if (!Trains(config) || config.training.bf16 || config.training.fp16 ||
      facts.compute_capability.value_or(0) < kAmpere) {
    return std::nullopt;
  }
  return Finding{"training.bf16", "the GPU computes faster in bfloat16, the run is in float32",
                 "use bf16: true"};
}

std::optional<Finding> RateOutside(const JobConfig& config, double least, double most,
                                   const char* of_what) {
  const double rate = config.training.learning_rate;
  if (rate >= least && rate <= most) return std::nullopt;
  return Finding{
      "training.learning_rate",
      Cat(rate, " is outside ", least, " to ", most, ", where ", of_what, " usually trains well"),
      rate > most ? "lower it where the loss jumps or does not fall"
                  : "raise it where the loss hardly falls"};
}

std::optional<Finding> LoraRate(const JobConfig& config, const Facts&) {
  if (!HasAdapter(config)) return std::nullopt;
  return RateOutside(config, kLeastLoraRate, kMostLoraRate, "LoRA");
}

std::optional<Finding> BertRate(const JobConfig& config, const Facts&) {
  if (config.task != Task::kFinetuneBert || HasAdapter(config)) return std::nullopt;
  return RateOutside(config, kLeastBertRate, kMostBertRate, "BERT");
}

std::optional<Finding> BertEpochs(const JobConfig& config, const Facts&) {
  const int64_t epochs = config.training.epochs;
  const bool many = epochs > kMostBertEpochs && config.training.early_stopping_patience == 0;
  if (config.task != Task::kFinetuneBert || (epochs >= kLeastBertEpochs && !many)) {
    return std::nullopt;
  }
  return Finding{"training.epochs",
                 Cat(epochs, ", where ", kLeastBertEpochs, " to ", kMostBertEpochs,
                     " are usually enough for BERT"),
                 many ? "watch the tuning loss for overfitting, or set early_stopping_patience"
                      : "train longer while the tuning loss falls"};
}

std::optional<Finding> BertRows(const JobConfig& config, const Facts&) {
  const TrainingSection& training = config.training;
  const int64_t rows = training.batch_size * training.gradient_accumulation_steps;
  if (config.task != Task::kFinetuneBert || rows >= kLeastBertRows) return std::nullopt;
  return Finding{"training.batch_size",
                 Cat("a step has ", rows, rows == 1 ? " row" : " rows",
                     ", where 16 to 32 are typical for BERT"),
                 "use the largest batch_size that fits, and gradient_accumulation_steps for the "
                 "rest"};
}

std::optional<Finding> PlainScaleAtHighRank(const JobConfig& config, const Facts&) {
  if (!HasAdapter(config) || config.lora.use_rslora || config.lora.r < kHighRank) {
    return std::nullopt;
  }
  return Finding{"lora.use_rslora",
                 Cat("at r ", config.lora.r,
                     " the scale lora_alpha / r makes the updates small, and training slow"),
                 "use use_rslora: true, whose scale is lora_alpha / sqrt(r), for stable training"};
}

std::optional<Finding> DropoutOnFewDocuments(const JobConfig& config, const Facts& facts) {
  if (!HasAdapter(config) || !facts.train_documents || *facts.train_documents >= kFewDocuments ||
      config.lora.lora_dropout < kHighDropout) {
    return std::nullopt;
  }
  return Finding{
      "lora.lora_dropout",
      Cat(config.lora.lora_dropout, " with ", *facts.train_documents, " documents to learn from"),
      "lower it for small data sets"};
}

std::optional<Finding> CutoffMissing(const JobConfig& config, const Facts&) {
  if (!ReadsLabels(config) || config.data.cutoff_months > 0) return std::nullopt;
  return Finding{"data.cutoff_months",
                 "0 keeps events up to the diagnosis, which may give the label away",
                 "use 1 or more"};
}

std::optional<Finding> PretrainingWithoutCutoff(const JobConfig& config, const Facts&) {
  if (config.task != Task::kPretrainLlm || config.data.cutoff_months > 0) return std::nullopt;
  return Finding{"data.cutoff_months",
                 "0 lets the model read on to the diagnosis, which its fine-tuning is to predict",
                 "use 1"};
}

std::optional<Finding> RareClass(const JobConfig& config, const Facts& facts) {
  if (!ReadsLabels(config) || facts.class_shares.empty()) return std::nullopt;
  const auto rarest = std::min_element(facts.class_shares.begin(), facts.class_shares.end());
  if (*rarest >= kRarestClass) return std::nullopt;
  std::string remedy = "judge by auroc, auprc and ppv, not by accuracy";
  if (IsOffered("training.class_weights", Json::array({1.0, 2.0}))) {
    remedy += "; class_weights make it count more, at the cost of calibration";
  }
  return Finding{"training.class_weights",
                 Cat("class ", rarest - facts.class_shares.begin(), " is ", Percent(*rarest),
                     " of the labels"),
                 remedy};
}

std::optional<Finding> Truncation(const JobConfig& config, const Facts& facts) {
  if (!facts.truncated_token_share || *facts.truncated_token_share <= kMostTruncated) {
    return std::nullopt;
  }
  const int64_t length = config.model.max_length, most = facts.model_max_length.value_or(0);
  std::string remedy = Cat("raise it", most > length ? Cat(" to at most ", most) : "");
  if (facts.model_max_length && most <= length) remedy = "take a model with more positions";
  return Finding{
      "model.max_length",
      Cat(Percent(*facts.truncated_token_share), " of the tokens are cut off at ", length), remedy};
}

std::optional<Finding> Coverage(const std::optional<double>& coverage, const char* key,
                                const char* codes) {
  if (!coverage || *coverage >= kLeastCoverage) return std::nullopt;
  return Finding{key,
                 Cat("has a term for ", Percent(*coverage), " of the events with ", codes,
                     " codes; the others stay codes"),
                 "check its path, and that its codes are written as in the vocabulary"};
}

std::optional<Finding> MedicalCoverage(const JobConfig&, const Facts& facts) {
  return Coverage(facts.medical_coverage, "data.medical_lookup_filepath",
                  "MEDICAL// and MEASUREMENT//");
}

std::optional<Finding> LabCoverage(const JobConfig&, const Facts& facts) {
  return Coverage(facts.lab_coverage, "data.lab_lookup_filepath", "LAB//");
}

std::optional<Finding> EvaluationTime(const JobConfig& config, const Facts& facts) {
  if (!facts.evaluation_time_share || *facts.evaluation_time_share <= kMostEvaluation) {
    return std::nullopt;
  }
  const double share = std::min(*facts.evaluation_time_share, 0.999);
  // Evaluation per training time must fall from share / (1 - share) to what the bound allows.
  const double factor = share / (1 - share) / (kMostEvaluation / (1 - kMostEvaluation));
  const int64_t steps = config.training.eval_steps;
  return Finding{
      "training.eval_steps",
      Cat(Percent(*facts.evaluation_time_share), " of the time is evaluation"),
      steps == 0 ? "use more steps than an epoch has, or a larger eval_batch_size"
                 : Cat("use ", static_cast<int64_t>(std::ceil(static_cast<double>(steps) * factor)),
                       " or more, or a larger eval_batch_size")};
}

std::optional<Finding> NotImproving(const JobConfig&, const Facts& facts) {
  const std::vector<double>& losses = facts.tuning_losses;
  if (losses.size() < kFewestEvaluations ||
      std::min_element(losses.begin(), losses.end()) != losses.begin()) {
    return std::nullopt;
  }
  return Finding{"training.learning_rate",
                 Cat("none of ", losses.size(), " evaluations is better than the first"),
                 "check data.cutoff_months for leaking labels, raise warmup_steps, try another "
                 "learning_rate, look for class imbalance"};
}

std::optional<Finding> Overfitting(const JobConfig& config, const Facts& facts) {
  const std::vector<double>& losses = facts.tuning_losses;
  const auto best = std::min_element(losses.begin(), losses.end());
  const auto since = losses.end() - best;
  if (losses.empty() || best == losses.begin() || config.training.early_stopping_patience > 0 ||
      since < static_cast<std::ptrdiff_t>(kFewestEvaluations)) {
    return std::nullopt;
  }
  return Finding{"training.early_stopping_patience",
                 Cat("the tuning loss was best ", since - 1, " evaluations ago"),
                 Cat("use ", kFewestEvaluations - 1, ", or fewer epochs")};
}

// In this order: 4 bits, batch size with accumulation, checkpointing, length.
std::optional<Finding> OutOfMemory(const JobConfig& config, const Facts& facts) {
  if (!facts.out_of_memory || !Trains(config)) return std::nullopt;
  const TrainingSection& training = config.training;
  std::vector<std::string> steps;
  if (IsLlm(config.task) && !training.load_in_4bit && IsOffered("training.load_in_4bit", true)) {
    steps.push_back("load_in_4bit: true");
  }
  if (training.batch_size > 1) {
    const int64_t half = training.batch_size / 2;
    const int64_t rows = training.batch_size * training.gradient_accumulation_steps;
    steps.push_back(Cat("batch_size: ", half,
                        " with gradient_accumulation_steps: ", (rows + half - 1) / half,
                        rows % half == 0 ? " (the same rows a step)" : ""));
  }
  if (!training.gradient_checkpointing && IsOffered("training.gradient_checkpointing", true)) {
    steps.push_back("gradient_checkpointing: true");
  }
  if (config.model.max_length > 2) {
    steps.push_back(Cat("model.max_length: ", std::max<int64_t>(2, config.model.max_length / 2)));
  }
  std::string remedy = "try, one after the other";
  for (size_t i = 0; i < steps.size(); ++i) remedy += Cat(i == 0 ? ": " : ", ", steps[i]);
  if (steps.empty()) remedy = "take a smaller model";
  return Finding{"training.batch_size", "the memory did not suffice", remedy};
}

constexpr Rule kRules[] = {
    {"out_of_memory", Severity::kWarning, OutOfMemory},
    {"warmup_covers_run", Severity::kWarning, WarmupCoversRun},
    {"bf16_before_ampere", Severity::kWarning, Bf16BeforeAmpere},
    {"bf16_unused", Severity::kTip, Bf16Unused},
    {"lora_learning_rate", Severity::kTip, LoraRate},
    {"bert_learning_rate", Severity::kTip, BertRate},
    {"bert_epochs", Severity::kTip, BertEpochs},
    {"bert_batch", Severity::kTip, BertRows},
    {"plain_scale_at_high_rank", Severity::kTip, PlainScaleAtHighRank},
    {"dropout_on_few_documents", Severity::kTip, DropoutOnFewDocuments},
    {"cutoff_missing", Severity::kWarning, CutoffMissing},
    {"pretraining_without_cutoff", Severity::kTip, PretrainingWithoutCutoff},
    {"rare_class", Severity::kWarning, RareClass},
    {"truncation", Severity::kWarning, Truncation},
    {"medical_coverage", Severity::kWarning, MedicalCoverage},
    {"lab_coverage", Severity::kWarning, LabCoverage},
    {"evaluation_time", Severity::kTip, EvaluationTime},
    {"not_improving", Severity::kWarning, NotImproving},
    {"overfitting", Severity::kTip, Overfitting},
};

}  // namespace

std::string_view NameOf(Severity severity) {
  return severity == Severity::kWarning ? "warning" : "tip";
}

std::vector<Advice> Advise(const JobConfig& config, const Facts& facts) {
  std::vector<Advice> given;
  for (const Rule& rule : kRules) {
    std::optional<Finding> finding = rule.judge(config, facts);
    if (!finding) continue;
    given.push_back({rule.id, rule.severity, std::move(finding->key), std::move(finding->text),
                     std::move(finding->remedy)});
  }
  return given;
}

std::vector<std::string_view> AdviceRules() {
  std::vector<std::string_view> ids;
  for (const Rule& rule : kRules) ids.push_back(rule.id);
  return ids;
}

std::string LineOf(const Advice& advice) {
  return Cat(NameOf(advice.severity), ": ", advice.key, ": ", advice.text, "; ", advice.remedy);
}

std::optional<Severity> SeverityOfLine(std::string_view line) {
  for (const Severity severity : {Severity::kWarning, Severity::kTip}) {
    if (line.starts_with(Cat(NameOf(severity), ": "))) return severity;
  }
  return std::nullopt;
}

}  // namespace anamnesis::config
