// SPDX-License-Identifier: Apache-2.0
// Everything that is known of a run before its output folder is touched: the configuration, the
// sizing, the model and the data, checked.
#pragma once

#include <string>

#include "workers/agent/data_stage.h"
#include "workers/agent/model_stage.h"
#include "workers/agent/run_options.h"
#include "workers/agent/sizing.h"

namespace anamnesis::agent {

// Not an adapter: its files go into the output folder itself.
bool TrainsWholeModel(const config::JobConfig& config);

struct Checked {
  config::JobConfig config;
  Sizing sizing;
  ModelStage model;
  DataStage data;
  std::string rank_program;
};

// Reads, checks, and makes shards and indexes that are not in the cache yet. Notes go to stderr.
// Phases: "model", "inputs", "shards", "index of train", "index of tuning".
StatusOr<Checked> CheckAll(const RunOptions& options, const OnPhase& on_phase);

}  // namespace anamnesis::agent
