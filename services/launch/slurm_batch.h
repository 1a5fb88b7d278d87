// SPDX-License-Identifier: Apache-2.0
// What is handed to sbatch for one attempt: its arguments and the script, which starts one worker
// on each node by srun. Pure. Nothing secret is in either: Slurm keeps both.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/core/job.h"
#include "services/launch/slurm_options.h"

namespace anamnesis::launch {

// Of the coordinator: what its Slurm jobs need to know of it.
struct SlurmSite {
  std::string identity = {};        // 16 lower-case hexadecimal digits, of this coordinator alone
  std::string data_directory;       // absolute, the same on every node
  std::string worker_program = {};  // absolute, the same on every node
  std::vector<std::pair<std::string, std::string>> environment = {};  // of the workers; no secrets
};

// Which attempt of which coordinator a Slurm job is: its name and its comment.
struct SlurmTag {
  std::string identity;
  core::JobId job{};
  int64_t epoch = 0;
  bool operator==(const SlurmTag&) const = default;
};
std::string TextOf(const SlurmTag& tag);  // anamnesis-17-2-0123456789abcdef
// Nothing for the name of any other job.
std::optional<SlurmTag> ParseSlurmTag(const std::string& text);

// What of the coordinator's environment (NAME=VALUE each) its workers on the nodes are to have:
// where models lie and how they are fetched, where libraries are found. No secrets.
std::vector<std::pair<std::string, std::string>> WorkerEnvironment(
    const std::vector<std::string>& environment);

struct SlurmBatch {
  core::JobId job{};
  int64_t epoch = 0;
  int64_t nodes = 1, ranks_per_node = 1, threads_per_rank = 1;
  std::string worker_address;  // HOST:PORT that every node reaches
  std::string token_path;      // 0600, on every node
  std::string log_path;
};

// Without the program and the script's path, which come first and last.
std::vector<std::string> SbatchArguments(const SlurmBatch& batch, const SlurmOptions& options,
                                         const SlurmSite& site);
std::string BatchScript(const SlurmBatch& batch, const SlurmSite& site);

}  // namespace anamnesis::launch
