// SPDX-License-Identifier: Apache-2.0
// The data of a run: shards (made by anamnesis-prep when they are not in the cache), the index of
// each split that is read, and from them the number of steps. Pretraining reads train and tuning
// and never opens held_out.
#pragma once

#include <string>
#include <vector>

#include "workers/agent/phase_meter.h"
#include "workers/agent/run_options.h"
#include "workers/agent/sizing.h"
#include "workers/contract/plan.h"
#include "workers/stream/row_source.h"

namespace anamnesis::agent {

struct DataStage {
  contract::DataPlan plan;
  stream::StreamSpec stream;
  stream::StreamTotals train;
  stream::StreamTotals tuning;
  stream::StreamTotals held_out;         // of classification
  std::vector<std::string> class_names;  // likewise; [C]
  int64_t total_steps = 0;
  int64_t steps_per_epoch = 0;  // of the first epoch
};

StatusOr<DataStage> PrepareData(const RunOptions& options, const config::JobConfig& config,
                                const std::string& model_directory,
                                const std::string& tokenizer_sha256, const Sizing& sizing,
                                const OnPhase& on_phase);

// `option` (--data-dir) or the default, absolute.
StatusOr<std::string> DataDirectoryOf(const std::string& option);

struct ShardsWanted {
  std::string config_path;
  std::vector<std::string> overrides;  // KEY=VALUE; those of `data` are taken
  std::vector<std::string> splits;
  std::string data_directory;
  bool unlabelled = false;  // take subjects that the labels file lacks
};

// The shard set's directory, made by anamnesis-prep when it is not in the cache.
StatusOr<std::string> EnsureShards(const ShardsWanted& wanted, const OnPhase& on_phase);

// Takes the line "progress PHASE DONE TOTAL" of a sibling program.
bool TakeProgress(const std::string& line, const OnPhase& on_phase);

// One line for the user: counts of a split.
std::string DescribeTotals(const std::string& split, const stream::StreamTotals& totals);

}  // namespace anamnesis::agent
