// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/seats.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "common/base/status.h"

namespace anamnesis::agent {
namespace {

// Item `index` of a list with commas; without a list its number.
std::string GpuAt(const char* list, int64_t index) {
  if (list == nullptr) return std::to_string(index);
  std::string_view rest = list;
  for (int64_t skipped = 0; skipped < index; ++skipped) {
    const size_t comma = rest.find(',');
    if (comma == std::string_view::npos) return "none";  // CUDA finds no device by that name
    rest.remove_prefix(comma + 1);
  }
  return std::string(rest.substr(0, rest.find(',')));
}

}  // namespace

NodeShare ShareOfThisProcess() {
  NodeShare share{.cpus = {}, .visible_gpus = std::getenv("CUDA_VISIBLE_DEVICES")};
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return share;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) share.cpus.push_back(cpu);
  }
  return share;
}

std::vector<gang::RankSeat> SeatsOf(const v1::Grant& grant, const NodeShare& share) {
  std::vector<gang::RankSeat> seats(static_cast<size_t>(grant.ranks()));
  const auto per_node = static_cast<size_t>(std::max(1, grant.ranks_per_node()));
  for (size_t rank = 0; rank < seats.size(); ++rank) {
    gang::RankSeat& seat = seats[rank];
    const size_t local = rank % per_node;
    seat.threads = std::max(1, grant.threads_per_rank());
    seat.interface = grant.rank_interface();
    if (grant.device() == "cuda") {
      seat.gpu = static_cast<int>(rank) < grant.gpus_size()
                     ? grant.gpus(static_cast<int>(rank))
                     : GpuAt(share.visible_gpus, static_cast<int64_t>(local));
    }
    const size_t here = std::min(per_node, seats.size() - (rank - local));
    if (!grant.pin_cpus() || share.cpus.size() < here) continue;
    const auto begin = share.cpus.begin();
    seat.cpus.assign(begin + static_cast<std::ptrdiff_t>(local * share.cpus.size() / here),
                     begin + static_cast<std::ptrdiff_t>((local + 1) * share.cpus.size() / here));
  }
  return seats;
}

}  // namespace anamnesis::agent
