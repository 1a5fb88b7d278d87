// SPDX-License-Identifier: Apache-2.0
// What an operator says of the Slurm cluster: KEY=VALUE pairs of `anamnesis up --engine`, one table
// of keys, all of them checked before the first job. docs/slurm.md lists them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"

namespace anamnesis::launch {

// Of a generic resource such as "gpu:a100:1".
struct SlurmGres {
  std::string name;  // "gpu:a100"; "" for none
  int64_t count = 0;
};

struct SlurmOptions {
  // As sbatch takes them; "" for what the cluster has as its default.
  std::string partition = {}, account = {}, qos = {}, reservation = {}, constraint = {};
  std::string time_limit = {};
  SlurmGres gres_per_rank = {};
  int64_t memory_per_rank_mib = 0;  // 0: what the cluster gives
  // Workers are told this long before the time limit, so that they save. Slurm is up to a minute
  // early.
  absl::Duration grace = absl::Seconds(120);
  absl::Duration poll_interval = absl::Seconds(2);
  // Then a program of Slurm's that does not answer is killed.
  absl::Duration patience = absl::Seconds(30);
};

// kInvalidArgument: names every pair that is wrong, what is expected and the keys there are.
StatusOr<SlurmOptions> ParseSlurmOptions(const std::vector<std::string>& pairs);

}  // namespace anamnesis::launch
