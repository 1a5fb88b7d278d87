// SPDX-License-Identifier: Apache-2.0
// The arguments of `anamnesis up`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::coordinator {

struct UpOptions {
  std::string data_dir;  // absolute
  int64_t slots = 0;     // 0: what the machine has (slot_watch.h)
  int64_t threads_per_slot = 1;
  std::vector<std::string> roots;  // absolute
  std::string listen;              // HOST:PORT; "" for the Unix socket alone
  bool insecure = false;
  std::string token_file;
  std::string device = "auto";      // cpu, cuda
  int64_t memory_per_slot = 0;      // bytes; 0: no limit
  bool pin_cpus = false;            // each rank stays on CPUs of its own
  std::string launcher = "local";   // slurm, kubernetes
  std::vector<std::string> engine;  // KEY=VALUE, of the launcher
  int64_t ranks_per_node = 0;       // 0: a gang is on one node
  std::string rank_interface;       // what ranks of several nodes talk over
  bool upload_checkpoints = false;  // nodes have output folders of their own
  std::string checkpoint_store;     // s3://BUCKET/PREFIX that the nodes keep them in; "" for none
  std::string worker_listen;        // HOST:PORT; "": workers are on this machine
  std::string worker_data_dir;      // absolute; where workers keep shards and indexes
  std::string worker_address;       // HOST:PORT as workers reach it; "": as it listens
  std::string metrics;              // HOST:PORT; "" for none
  bool allow_hub = true;            // jobs may fetch models from the hub
  bool detach = false;
};

// Nothing, with `exit_code` set, when the process is to end (usage error: 2; --help: 0).
std::optional<UpOptions> ParseUpOptions(int argc, char** argv, int* exit_code);

}  // namespace anamnesis::coordinator
