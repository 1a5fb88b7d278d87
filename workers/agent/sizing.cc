// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/sizing.h"

#include <algorithm>
#include <bit>

namespace anamnesis::agent {
namespace {
constexpr int64_t kLeastSlots = 4;  // a CPU machine shares its time among ranks
}  // namespace

StatusOr<Sizing> ResolveSizing(const SizingInput& input) {
  Sizing sizing;
  sizing.rows_per_step = input.batch_size * input.gradient_accumulation_steps;
  const auto most = static_cast<uint64_t>(std::min(input.max_lanes, sizing.rows_per_step));
  sizing.lanes = input.lanes.value_or(static_cast<int64_t>(std::bit_floor(most)));
  sizing.ranks = input.ranks.value_or(1);
  const int64_t slots = input.slots.value_or(std::max(kLeastSlots, input.cores));
  if (sizing.ranks > slots) {
    return InvalidArgument("--ranks: ", sizing.ranks, " ranks, but this machine has ", slots,
                           " slots; use at most ", slots, " ranks, or --slots ", sizing.ranks);
  }
  if (sizing.ranks > sizing.lanes) {
    const auto fit = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(sizing.ranks)));
    const bool by_default = fit <= input.max_lanes && !input.lanes.has_value();
    return InvalidArgument(
        "--ranks: ", sizing.ranks, " ranks, but a step of ", sizing.rows_per_step, " rows has ",
        sizing.lanes,
        " gradient lanes; the smallest that fit are batch_size x gradient_accumulation_steps = ",
        fit, " and training.lanes: ", fit, by_default ? " (which is then the default)" : "");
  }
  sizing.threads =
      input.threads_per_rank.value_or(std::max<int64_t>(1, input.cores / sizing.ranks));
  return sizing;
}

}  // namespace anamnesis::agent
