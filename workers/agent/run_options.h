// SPDX-License-Identifier: Apache-2.0
// The arguments of `run`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/config/job_config.h"
#include "workers/gang/rank_environment.h"

namespace anamnesis::agent {

// A run of the service: named by the coordinator, fenced by its epoch.
struct ServiceRun {
  std::string run_id;
  uint64_t epoch = 1;
  bool holds_folder = false;   // the worker has the output folder's lock from the epoch before
  std::string rank_interface;  // of a gang of several nodes
  std::vector<gang::RankSeat> seats = {};  // by rank
};

struct RunOptions {
  config::Task task = config::Task::kPretrainLlm;
  std::string config_path;
  std::vector<std::string> overrides;  // KEY=VALUE
  std::optional<int64_t> ranks;
  std::optional<int64_t> threads_per_rank;
  std::optional<int64_t> slots;
  bool resume = false;
  bool keep_plan = false;
  std::string data_dir;   // "" for the default
  bool allow_hub = true;  // a model that is not here is fetched
  int64_t stall_seconds = 60;
  std::optional<ServiceRun> service;  // nothing: `run`
  std::vector<std::string> words;     // as typed, after the program's name
};

// Parses argv[0] = "run" and what follows. Nothing, with `exit_code` set, when the process is to
// end (usage error: 2, a message on stderr; --help: 0).
std::optional<RunOptions> ParseRunOptions(int argc, char** argv, int* exit_code);

// The command that continues this run, as a user types it.
std::string ResumeCommand(const RunOptions& options);

}  // namespace anamnesis::agent
