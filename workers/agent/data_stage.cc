// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/data_stage.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "common/base/sha256.h"
#include "common/io/data_directory.h"
#include "common/io/file.h"
#include "common/process/sibling.h"
#include "workers/agent/machine.h"
#include "workers/shard/manifest.h"
#include "workers/shard/reader.h"

namespace anamnesis::agent {
namespace {

bool HasPrompt(const config::JobConfig& config) { return !config.data.prompt_template.empty(); }

// The answer of every class; a class that is no number, or one without an answer, is refused.
StatusOr<std::vector<std::string>> Answers(const config::JobConfig& config, size_t num_classes) {
  const std::map<std::string, std::string>& by_class = config.data.prompt_answers;
  std::vector<std::string> answers;
  for (size_t c = 0; c < num_classes; ++c) {
    const auto found = by_class.find(Cat(c));
    if (found != by_class.end()) answers.push_back(found->second);
  }
  if (answers.size() != num_classes || by_class.size() != num_classes) {
    return InvalidArgument("data.prompt.answers: expected an answer for each of the classes 0 to ",
                           num_classes - 1, ", found ", by_class.size());
  }
  return answers;
}

// A question about every class of this many answers: the controls and the cases, or the sites.
int64_t NumClasses(const config::JobConfig& config) {
  return config.task == config::Task::kFinetuneLlm
             ? static_cast<int64_t>(config.data.prompt_answers.size())
             : config.model.num_classes;
}

// Class 0 are the controls, class 1 every case or, with more classes, 1, 2, … the sites in order.
Status SetClasses(const config::JobConfig& config, const std::string& shards, DataStage* data) {
  ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(Cat(shards, "/", shard::kManifestFile)));
  ANAM_ASSIGN_OR_RETURN(const shard::Manifest manifest, shard::ParseManifest(text));
  const int64_t num_classes = NumClasses(config);
  if (num_classes == 2) {
    data->class_names = {"Control", "Case"};
    return absl::OkStatus();
  }
  std::vector<std::string> sites = manifest.sites;
  std::sort(sites.begin(), sites.end());
  if (num_classes != static_cast<int64_t>(sites.size()) + 1) {
    return InvalidArgument(
        config.task == config::Task::kFinetuneLlm ? "data.prompt.answers: " : "model.num_classes: ",
        num_classes, ", but ", config.data.labels_filepath, " has ", sites.size(),
        " sites: expected 2, or ", sites.size() + 1, " for the controls and each site");
  }
  data->class_names = {"Control"};
  data->class_names.insert(data->class_names.end(), sites.begin(), sites.end());
  data->stream.class_sites = std::move(sites);
  return absl::OkStatus();
}

stream::StreamSpec MakeStreamSpec(const config::JobConfig& config,
                                  const std::string& tokenizer_sha256) {
  stream::StreamSpec spec;
  if (config::ReadsLabels(config)) spec.rows = HasPrompt(config) ? "prompts" : "documents";
  if (!config.data.truncation.empty()) spec.truncation = config.data.truncation;
  spec.profile = config.data.profile;
  spec.time_mode = config.data.time_mode;
  spec.cutoff_months = static_cast<int>(config.data.cutoff_months);
  spec.apply_to = config.data.apply_to;
  spec.boundary = config.data.boundary;
  spec.on_missing_date = config.data.on_missing_date;
  spec.max_length = static_cast<int>(config.model.max_length);
  spec.tokenizer_sha256 = tokenizer_sha256;
  return spec;
}

// One digest for the subjects of the splits that are read: of a line "SPLIT DIGEST" each.
StatusOr<std::string> SubjectHashesDigest(const std::string& shards,
                                          const std::vector<std::string>& splits) {
  ANAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(Cat(shards, "/", shard::kManifestFile)));
  ANAM_ASSIGN_OR_RETURN(const shard::Manifest manifest, shard::ParseManifest(text));
  std::string lines;
  for (const std::string& name : splits) {
    const auto split =
        std::find_if(manifest.splits.begin(), manifest.splits.end(),
                     [&](const shard::SplitRecord& record) { return record.name == name; });
    if (split == manifest.splits.end())
      return DataLoss(shards, ": the manifest has no split ", name);
    lines += Cat(name, " ", split->subject_hashes.sha256, "\n");
  }
  return Sha256Hex(lines);
}

StatusOr<std::string> Index(const std::string& data_directory, const std::string& split,
                            const std::string& model_directory, const stream::StreamSpec& spec,
                            const contract::DataPlan& plan, const OnPhase& on_phase,
                            stream::StreamTotals* totals) {
  const std::string digest =
      Sha256Hex(Cat(plan.shards_manifest_sha256, "\n", plan.stream_digest, "\n"));
  const std::string folder = Cat(data_directory, "/index/", digest);
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  const std::string path = Cat(folder, "/", split, ".index");
  const auto progress = [&](uint64_t done, uint64_t total) {
    if (on_phase) on_phase("index of " + split, done, total);
  };
  ANAM_ASSIGN_OR_RETURN(*totals, stream::EnsureIndex(plan.shards_directory, split, model_directory,
                                                     spec, path, nullptr, progress));
  return path;
}

Status CountSteps(const config::JobConfig& config, int64_t rows_per_step, DataStage* data) {
  for (int64_t epoch = 0; epoch < config.training.epochs; ++epoch) {
    ANAM_ASSIGN_OR_RETURN(
        const int64_t rows,
        stream::RowsOfEpoch(data->plan.train_index, data->stream, config.training.seed, epoch));
    const int64_t steps = (rows + rows_per_step - 1) / rows_per_step;
    if (epoch == 0) data->steps_per_epoch = steps;
    data->total_steps += steps;
  }
  return absl::OkStatus();
}

}  // namespace

bool TakeProgress(const std::string& line, const OnPhase& on_phase) {
  std::istringstream words(line);
  std::string word, phase;
  uint64_t done = 0, total = 0;
  if (!(words >> word >> phase >> done >> total) || word != "progress") return false;
  if (on_phase) on_phase(phase, done, total);
  return true;
}

StatusOr<std::string> EnsureShards(const ShardsWanted& wanted, const OnPhase& on_phase) {
  std::string list;
  for (const std::string& split : wanted.splits) list += Cat(list.empty() ? "" : ",", split);
  ANAM_ASSIGN_OR_RETURN(const std::string program, SiblingProgram("anamnesis-prep"));
  std::vector<std::string> argv = {program, "ensure",     wanted.config_path,    "--splits",
                                   list,    "--data-dir", wanted.data_directory, "--progress"};
  if (wanted.unlabelled) argv.push_back("--unlabelled");
  for (const std::string& text : wanted.overrides) {
    if (!text.starts_with("data.")) continue;  // prep reads `data` alone
    argv.push_back("--set");
    argv.push_back(text);
  }
  ANAM_ASSIGN_OR_RETURN(std::string output,
                        RunToEnd(argv, "anamnesis-prep ensure", [&](const std::string& line) {
                          return TakeProgress(line, on_phase);
                        }));
  while (!output.empty() && output.back() == '\n') output.pop_back();
  if (!IsDirectory(output)) return Internal("anamnesis-prep ensure did not print a directory");
  return output;
}

StatusOr<std::string> DataDirectoryOf(const std::string& option) {
  std::string directory = option;
  if (directory.empty()) {
    ANAM_ASSIGN_OR_RETURN(directory, DefaultDataDirectory());
  }
  return std::filesystem::absolute(directory).lexically_normal().string();
}

StatusOr<DataStage> PrepareData(const RunOptions& options, const config::JobConfig& config,
                                const std::string& model_directory,
                                const std::string& tokenizer_sha256, const Sizing& sizing,
                                const OnPhase& on_phase) {
  ANAM_ASSIGN_OR_RETURN(const std::string data_directory, DataDirectoryOf(options.data_dir));
  std::vector<std::string> splits = {"train"};
  const bool has_tuning = IsDirectory(Cat(config.data.data_dir, "/tuning"));
  if (has_tuning) splits.emplace_back("tuning");
  // Pretraining never opens held_out.
  const bool has_held_out =
      config::ReadsLabels(config) && IsDirectory(Cat(config.data.data_dir, "/held_out"));
  if (has_held_out) splits.emplace_back("held_out");

  DataStage data;
  if (on_phase) on_phase("inputs", 0, 0);
  ANAM_ASSIGN_OR_RETURN(data.plan.shards_directory,
                        EnsureShards({.config_path = options.config_path,
                                      .overrides = options.overrides,
                                      .splits = splits,
                                      .data_directory = data_directory},
                                     on_phase));
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::ShardSet> shards,
                        shard::ShardSet::Open(data.plan.shards_directory));
  ANAM_RETURN_IF_ERROR(shards->Verify(splits));
  data.plan.shards_manifest_sha256 = shards->manifest_sha256();
  ANAM_ASSIGN_OR_RETURN(data.plan.subject_hashes_sha256,
                        SubjectHashesDigest(data.plan.shards_directory, splits));
  data.stream = MakeStreamSpec(config, tokenizer_sha256);
  if (config::ReadsLabels(config)) {
    ANAM_RETURN_IF_ERROR(SetClasses(config, data.plan.shards_directory, &data));
  }
  if (HasPrompt(config)) {
    stream::Prompt& prompt = data.stream.prompt;
    prompt.text_template = config.data.prompt_template;
    prompt.question = config.data.prompt_question;
    ANAM_ASSIGN_OR_RETURN(prompt.answers, Answers(config, data.class_names.size()));
    ANAM_RETURN_IF_ERROR(stream::CheckPrompt(prompt));
  }
  data.plan.stream = stream::ToJson(data.stream);
  data.plan.stream_digest = stream::StreamDigest(data.stream);
  ANAM_ASSIGN_OR_RETURN(data.plan.train_index,
                        Index(data_directory, "train", model_directory, data.stream, data.plan,
                              on_phase, &data.train));
  if (has_tuning) {
    ANAM_ASSIGN_OR_RETURN(data.plan.tuning_index,
                          Index(data_directory, "tuning", model_directory, data.stream, data.plan,
                                on_phase, &data.tuning));
  }
  if (has_held_out) {
    ANAM_ASSIGN_OR_RETURN(data.plan.held_out_index,
                          Index(data_directory, "held_out", model_directory, data.stream, data.plan,
                                on_phase, &data.held_out));
  }
  ANAM_RETURN_IF_ERROR(CountSteps(config, sizing.rows_per_step, &data));
  return data;
}

std::string DescribeTotals(const std::string& split, const stream::StreamTotals& totals) {
  return Cat(split, ": ", totals.num_subjects, " subjects, ", totals.num_events, " events (",
             totals.num_cut_events, " cut off), ", totals.num_documents, " documents, ",
             totals.num_tokens, " tokens, ", totals.num_labels, " labels");
}

}  // namespace anamnesis::agent
