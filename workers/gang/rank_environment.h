// SPDX-License-Identifier: Apache-2.0
// The environment of a rank's process.
#pragma once

#include <string>
#include <vector>

namespace anamnesis::gang {

// What a rank has of its node.
struct RankSeat {
  int threads = 1;
  std::string gpu = "";        // as CUDA_VISIBLE_DEVICES names it; "" on CPUs
  std::vector<int> cpus = {};  // it runs on these alone; empty: wherever the worker may
  std::string interface = "";  // network interface to ranks of other nodes; "" for none
};

// The environment of a rank: what a numeric program needs from ours (an allow-list: nothing
// secret), with OMP_NUM_THREADS set to its threads, OMP_WAIT_POLICY to passive, its GPU and network
// interface, and malloc told to keep large blocks.
std::vector<std::string> RankEnvironment(const RankSeat& seat);

}  // namespace anamnesis::gang
