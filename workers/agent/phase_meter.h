// SPDX-License-Identifier: Apache-2.0
// PhaseMeter: of the many small advances of a phase the few that are worth telling, each with the
// time that is left at the rate so far. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/base/clock.h"

namespace anamnesis::agent {

// Told how far a phase is; total 0 is "unknown". May be empty.
using OnPhase = std::function<void(const std::string& phase, uint64_t done, uint64_t total)>;

struct PhaseView {
  std::string phase;
  uint64_t done = 0, total = 0;
  std::optional<double> eta_seconds = {};  // of this phase
};

class PhaseMeter {
 public:
  using Sink = std::function<void(const PhaseView&)>;

  // `sink` hears the begin of each phase, then at most one advance in a `pause`. The clock outlives
  // this.
  PhaseMeter(const Clock& clock, absl::Duration pause, Sink sink)
      : clock_(clock), pause_(pause), sink_(std::move(sink)) {}

  void Tell(const std::string& phase, uint64_t done, uint64_t total);
  // Tell as a function, which this outlives.
  OnPhase AsOnPhase() {
    return [this](const std::string& phase, uint64_t done, uint64_t total) {
      Tell(phase, done, total);
    };
  }

 private:
  const Clock& clock_;
  const absl::Duration pause_;
  const Sink sink_;
  std::string phase_;
  absl::Duration begin_, last_;  // monotonic: of the phase, of what was told last
};

}  // namespace anamnesis::agent
