// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/data_stage.h"

#include <algorithm>
#include <filesystem>

#include "common/base/sha256.h"
#include "common/io/data_directory.h"
#include "common/io/file.h"
#include "common/process/sibling.h"
#include "workers/agent/machine.h"
#include "workers/shard/manifest.h"
#include "workers/shard/reader.h"

namespace anamnesis::agent {
namespace {

stream::StreamSpec MakeStreamSpec(const config::JobConfig& config,
                                  const std::string& tokenizer_sha256) {
  stream::StreamSpec spec;
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

StatusOr<std::string> EnsureShards(const RunOptions& options,
                                   const std::vector<std::string>& splits,
                                   const std::string& data_directory) {
  std::string list;
  for (const std::string& split : splits) list += Cat(list.empty() ? "" : ",", split);
  ANAM_ASSIGN_OR_RETURN(const std::string program, SiblingProgram("anamnesis-prep"));
  std::vector<std::string> argv = {program, "ensure",     options.config_path, "--splits",
                                   list,    "--data-dir", data_directory};
  for (const std::string& text : options.overrides) {
    if (!text.starts_with("data.")) continue;  // prep reads `data` alone
    argv.push_back("--set");
    argv.push_back(text);
  }
  ANAM_ASSIGN_OR_RETURN(std::string output, RunToEnd(argv, "anamnesis-prep ensure"));
  while (!output.empty() && output.back() == '\n') output.pop_back();
  if (!IsDirectory(output)) return Internal("anamnesis-prep ensure did not print a directory");
  return output;
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
                            const contract::DataPlan& plan, stream::StreamTotals* totals) {
  const std::string digest =
      Sha256Hex(Cat(plan.shards_manifest_sha256, "\n", plan.stream_digest, "\n"));
  const std::string folder = Cat(data_directory, "/index/", digest);
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  const std::string path = Cat(folder, "/", split, ".index");
  ANAM_ASSIGN_OR_RETURN(
      *totals, stream::EnsureIndex(plan.shards_directory, split, model_directory, spec, path));
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

StatusOr<DataStage> PrepareData(const RunOptions& options, const config::JobConfig& config,
                                const std::string& model_directory,
                                const std::string& tokenizer_sha256, const Sizing& sizing) {
  std::string data_directory = options.data_dir;
  if (data_directory.empty()) {
    ANAM_ASSIGN_OR_RETURN(data_directory, DefaultDataDirectory());
  }
  data_directory = std::filesystem::absolute(data_directory).lexically_normal().string();
  std::vector<std::string> splits = {"train"};
  const bool has_tuning = IsDirectory(Cat(config.data.data_dir, "/tuning"));
  if (has_tuning) splits.emplace_back("tuning");

  DataStage data;
  ANAM_ASSIGN_OR_RETURN(data.plan.shards_directory, EnsureShards(options, splits, data_directory));
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::ShardSet> shards,
                        shard::ShardSet::Open(data.plan.shards_directory));
  ANAM_RETURN_IF_ERROR(shards->Verify(splits));
  data.plan.shards_manifest_sha256 = shards->manifest_sha256();
  ANAM_ASSIGN_OR_RETURN(data.plan.subject_hashes_sha256,
                        SubjectHashesDigest(data.plan.shards_directory, splits));
  data.stream = MakeStreamSpec(config, tokenizer_sha256);
  data.plan.stream = stream::ToJson(data.stream);
  data.plan.stream_digest = stream::StreamDigest(data.stream);
  ANAM_ASSIGN_OR_RETURN(data.plan.train_index, Index(data_directory, "train", model_directory,
                                                     data.stream, data.plan, &data.train));
  if (has_tuning) {
    ANAM_ASSIGN_OR_RETURN(data.plan.tuning_index, Index(data_directory, "tuning", model_directory,
                                                        data.stream, data.plan, &data.tuning));
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
