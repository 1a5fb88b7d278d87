// SPDX-License-Identifier: Apache-2.0
// Events about the node: its cordon, and what its slots' devices look like.
#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "services/core/handlers.h"

namespace anamnesis::core {
namespace {

// Less of a free device's memory than this share, and somebody else's work is on it.
constexpr double kFreeShare = 0.9;

std::string Gibibytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB",
                static_cast<double>(bytes) / static_cast<double>(int64_t{1} << 30));
  return text;
}

// Why nobody may be placed on the slot; "" where somebody may.
std::string FaultOf(const SlotSight& sight, bool is_held, const std::set<int64_t>& workers) {
  if (!sight.fault.empty()) return sight.fault;
  for (const SlotProcess& process : sight.processes) {
    if (process.session != 0 && workers.contains(process.session)) continue;
    return Cat(sight.device, " is used by pid ", process.pid,
               process.name.empty() ? "" : Cat(" (", process.name, ")"), ", ",
               Gibibytes(process.memory_bytes));
  }
  const auto enough = static_cast<int64_t>(kFreeShare * static_cast<double>(sight.memory_bytes));
  if (!is_held && sight.free_bytes < enough) {
    return Cat(sight.device, " has ", Gibibytes(sight.free_bytes), " of ",
               Gibibytes(sight.memory_bytes), " free, and no process says who has the rest");
  }
  return "";
}

}  // namespace

Status Handle(Change* change, const CordonNode& event) {
  State& state = change->state;
  const bool drained_already = state.cordon && state.cordon->drains;
  if (event.drains && !drained_already) state.drain_time = change->now.monotonic;
  state.cordon = Cordon{.drains = event.drains || drained_already,
                        .actor = event.actor,
                        .message = event.message,
                        .time = change->now.wall};
  change->outcome.cordon_changed = true;
  return absl::OkStatus();
}

Status Handle(Change* change, const UncordonNode&) {
  change->outcome.cordon_changed = change->state.cordon.has_value();
  change->state.cordon.reset();
  return absl::OkStatus();
}

Status Handle(Change* change, const SlotsSeen& event) {
  State& state = change->state;
  std::set<int64_t> held, workers;
  for (const auto& [key, session] : state.sessions) {
    const Attempt& attempt = state.Find(key.first)->attempts.back();
    held.insert(attempt.slots.begin(), attempt.slots.end());
    workers.insert(attempt.worker.pid);
  }
  state.slot_faults.clear();
  for (const SlotSight& sight : event.slots) {
    std::string fault = FaultOf(sight, held.contains(sight.slot), workers);
    if (!fault.empty()) state.slot_faults[sight.slot] = std::move(fault);
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::core
