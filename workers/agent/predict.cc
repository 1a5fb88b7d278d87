// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/predict.h"

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "common/config/predict_config.h"
#include "common/io/file.h"
#include "common/process/sibling.h"
#include "workers/agent/data_stage.h"
#include "workers/agent/find_classifier.h"
#include "workers/agent/machine.h"
#include "workers/agent/phase_meter.h"
#include "workers/agent/progress.h"
#include "workers/shard/manifest.h"
#include "workers/shard/reader.h"

namespace anamnesis::agent {
namespace {

constexpr absl::Duration kPredictLinePause = absl::Seconds(5);

struct PredictOptions {
  std::string model, config_path, split, out, data_dir;
  std::vector<std::string> overrides;
  bool overwrite = false, allow_hub = true;
  int64_t threads = 1;
};

void PrintPredictPhase(const PhaseView& view) {
  if (!view.eta_seconds) return;
  std::fprintf(stderr, "predicting: %s  %d %%  eta %s\n", view.phase.c_str(),
               static_cast<int>(100 * view.done / view.total),
               ClockText(*view.eta_seconds).c_str());
}

// Before anything is read.
Status CheckOut(const PredictOptions& options) {
  const std::filesystem::path path(options.out);
  if (path.extension() == ".parquet") {
    return Unimplemented("--out: ", options.out, ": .parquet is not built yet; name a .csv");
  }
  if (IsDirectory(options.out)) {
    return InvalidArgument("--out: ", options.out, " is a folder: expected a file");
  }
  if (PathExists(options.out) && !options.overwrite) {
    return AlreadyExists("--out: ", options.out, " is there already: name another file, or give ",
                         "--overwrite");
  }
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  if (IsDirectory(folder)) return absl::OkStatus();
  return NotFound("--out: ", options.out, ": there is no folder ", folder);
}

Status CheckSplit(const config::DataSection& data, const std::string& split) {
  if (split != "train" && split != "tuning" && split != "held_out") {
    return InvalidArgument("--split: ", split, ": expected train, tuning or held_out");
  }
  if (IsDirectory(Cat(data.data_dir, "/", split))) return absl::OkStatus();
  return NotFound("--split: ", data.data_dir, " has no folder ", split);
}

// The shards of the split, and the labels as they were read.
Status AddData(const PredictOptions& options, const config::DataSection& data,
               const std::string& data_directory, const OnPhase& on_phase,
               contract::PredictPlan* plan) {
  ANAM_ASSIGN_OR_RETURN(plan->shards_directory, EnsureShards({.config_path = options.config_path,
                                                              .overrides = options.overrides,
                                                              .splits = {options.split},
                                                              .data_directory = data_directory,
                                                              .unlabelled = true},
                                                             on_phase));
  ANAM_ASSIGN_OR_RETURN(const auto shards, shard::ShardSet::Open(plan->shards_directory));
  ANAM_RETURN_IF_ERROR(shards->Verify({options.split}));
  plan->shards_manifest_sha256 = shards->manifest_sha256();
  plan->split = options.split;
  plan->labels_path = data.labels_filepath;
  ANAM_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(Cat(plan->shards_directory, "/", shard::kManifestFile)));
  ANAM_ASSIGN_OR_RETURN(const shard::Manifest manifest, shard::ParseManifest(text));
  for (const shard::InputRecord& input : manifest.inputs) {
    if (input.role == "labels") plan->labels_sha256 = input.sha256;
  }
  return absl::OkStatus();
}

// Has a rank do it.
Status Score(const contract::PredictPlan& plan, const std::string& data_directory,
             const OnPhase& on_phase) {
  ANAM_ASSIGN_OR_RETURN(const std::string program, SiblingProgram("anamnesis-rank"));
  const std::string folder = data_directory + "/predict";
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  const std::string path = Cat(folder, "/plan-", ::getpid(), ".json");
  const std::string text =
      contract::ToJson(plan).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  ANAM_RETURN_IF_ERROR(WriteFileDurably(path, text));
  // Ctrl-C ends the rank; this program then cleans up. A handler is not inherited.
  ::signal(SIGINT, [](int) {});
  const StatusOr<std::string> output =
      RunToEnd({program, "--predict", path}, "anamnesis-rank --predict",
               [&](const std::string& line) { return TakeProgress(line, on_phase); });
  ::unlink(path.c_str());
  return output.status();
}

Status Predict(const PredictOptions& options) {
  PhaseMeter meter(Clock::System(), kPredictLinePause, PrintPredictPhase);
  const OnPhase on_phase = [&](const std::string& phase, uint64_t done, uint64_t total) {
    meter.Tell(phase, done, total);
  };
  ANAM_RETURN_IF_ERROR(CheckOut(options));
  ANAM_ASSIGN_OR_RETURN(const config::JobConfig config,
                        config::LoadPredictConfig(options.config_path, options.overrides));
  ANAM_RETURN_IF_ERROR(CheckSplit(config.data, options.split));
  ANAM_ASSIGN_OR_RETURN(const std::string data_directory, DataDirectoryOf(options.data_dir));
  const std::string model = std::filesystem::absolute(options.model).lexically_normal().string();
  ANAM_ASSIGN_OR_RETURN(FoundClassifier found,
                        FindClassifier(model, config,
                                       {.allowed = options.allow_hub,
                                        .on_phase = on_phase,
                                        .asked_by = "base_model_name_or_path of the adapter"}));
  for (const std::string& note : found.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  contract::PredictPlan& plan = found.plan;
  plan.stream = stream::ToJson(found.stream);
  plan.threads = static_cast<int>(options.threads);
  plan.output = std::filesystem::absolute(options.out).lexically_normal().string();
  ANAM_RETURN_IF_ERROR(AddData(options, config.data, data_directory, on_phase, &plan));
  return Score(plan, data_directory, on_phase);
}

}  // namespace

int PredictCommand(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  PredictOptions options;
  CLI::App app("Writes a trained classifier's probabilities for every subject of a split.",
               "anamnesis predict");
  app.footer(
      "Example:\n  anamnesis predict results/bert --data fine-tune-bert.yaml --split held_out "
      "--out predictions.csv");
  app.add_option("model", options.model,
                 "The output folder of a run, a final_model, a checkpoint, "
                 "or a classifier of Transformers or PEFT")
      ->required()
      ->type_name("MODEL_DIR");
  app.add_option("--data", options.config_path,
                 "The job's YAML (`data`, and model.max_length of a "
                 "model that is not ours)")
      ->required()
      ->type_name("CONFIG.yaml");
  app.add_option("--split", options.split, "train, tuning or held_out")
      ->required()
      ->type_name("SPLIT");
  app.add_option("--out", options.out, "The file of predictions")
      ->required()
      ->type_name("FILE.csv");
  app.add_flag("--overwrite", options.overwrite, "Replace FILE.csv where it is there");
  app.add_option("--set", options.overrides, "KEY=VALUE over the YAML; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  options.threads = UsableCores();
  app.add_option("--threads", options.threads, "CPU threads (default: all cores)")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}));
  app.add_option("--data-dir", options.data_dir, "Cache of shards")->type_name("DIR");
  std::string hub = "allow";
  app.add_option("--hub", hub,
                 "allow: fetch a base model that is not here ($HF_ENDPOINT); deny: refuse")
      ->check(CLI::IsMember({"allow", "deny"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.allow_hub = hub == "allow";
  const Status status = Predict(options);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

}  // namespace anamnesis::agent
