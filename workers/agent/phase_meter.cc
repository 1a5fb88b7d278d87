// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/phase_meter.h"

namespace anamnesis::agent {

void PhaseMeter::Tell(const std::string& phase, uint64_t done, uint64_t total) {
  const absl::Duration now = clock_.Monotonic();
  PhaseView view{.phase = phase, .done = done, .total = total};
  if (phase != phase_) {
    phase_ = phase;
    begin_ = now;
  } else if (now - last_ < pause_) {
    return;
  } else if (done > 0 && total >= done) {
    view.eta_seconds = absl::ToDoubleSeconds(now - begin_) * static_cast<double>(total - done) /
                       static_cast<double>(done);
  }
  last_ = now;
  sink_(view);
}

}  // namespace anamnesis::agent
