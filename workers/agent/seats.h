// SPDX-License-Identifier: Apache-2.0
// What each rank of a grant gets of its node.
#pragma once

#include <vector>

#include "anamnesis/v1/worker_service.pb.h"
#include "workers/gang/rank_environment.h"

namespace anamnesis::agent {

// What this worker's process has, for its ranks.
struct NodeShare {
  std::vector<int> cpus;               // by the affinity mask
  const char* visible_gpus = nullptr;  // CUDA_VISIBLE_DEVICES, as an engine sets it
};
NodeShare ShareOfThisProcess();

// By the number of the rank. The seats of this worker's node alone hold: on others the CPUs, and
// what an engine gives, are those of their workers. A node with fewer CPUs than ranks pins none.
std::vector<gang::RankSeat> SeatsOf(const v1::Grant& grant, const NodeShare& share);

}  // namespace anamnesis::agent
