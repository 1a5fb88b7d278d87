// SPDX-License-Identifier: Apache-2.0
// Everything that is known of a run before its output folder is touched: the configuration, the
// sizing, the model and the data, checked.
#pragma once

#include <functional>
#include <string>

#include "workers/agent/data_stage.h"
#include "workers/agent/model_stage.h"
#include "workers/agent/run_options.h"
#include "workers/agent/sizing.h"

namespace anamnesis::agent {

struct Checked {
  config::JobConfig config;
  Sizing sizing;
  ModelStage model;
  DataStage data;
  std::string rank_program;
};

// Told what is done now: "model", "shards and index". May be empty.
using OnPhase = std::function<void(const std::string& phase)>;

// Reads, checks, and makes shards and indexes that are not in the cache yet. Notes go to stderr.
StatusOr<Checked> CheckAll(const RunOptions& options, const OnPhase& on_phase);

}  // namespace anamnesis::agent
