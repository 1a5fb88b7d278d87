// SPDX-License-Identifier: Apache-2.0
// Who is to blame when a gang breaks: every rank but the first culprit fails as well (its peers are
// gone), so the evidence of all ranks is weighed. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::gang {

// In the order of weight: what needs no other rank's failure to explain it comes first.
enum class Symptom {
  kSignal,      // killed from outside, or crashed
  kBadMessage,  // broke the protocol of the channel
  kStalled,     // sent nothing for too long
  kError,       // reported an error of its own
  kExit,        // ended without `done` and without an error
  kPeerError,   // reported an unreachable peer
};

struct Evidence {
  int rank = 0;
  Symptom symptom = Symptom::kExit;
  int signal = 0;
  int exit_code = 0;
  int64_t last_step = 0;
  Status error = absl::OkStatus();  // what it reported, or what is wrong with its messages
};

// The heaviest symptom; among equals the earliest. `evidence` is in order of arrival and not empty.
const Evidence& PickCulprit(const std::vector<Evidence>& evidence);

// The culprit in words, with the code that says what the caller may do: kUnavailable for a rank
// that was killed, kInternal for a crash, kDeadlineExceeded for a stall, else what the rank
// reported.
Status Describe(const Evidence& culprit);

}  // namespace anamnesis::gang
