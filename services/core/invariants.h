// SPDX-License-Identifier: Apache-2.0
// What holds after every Apply, in release builds too. A violation is a defect of the core: going
// on could run one job twice or give a slot to two. Cost: the attempts of one job and all sessions.
#pragma once

#include "services/core/state.h"

namespace anamnesis::core {

// Of one job: epochs ascend by one; only the last attempt may be active or hold slots; an attempt
// is active exactly in the states in which a job runs; times are set exactly in the states that use
// them; it stands in the queue exactly if it is queued and waits for no other job.
void CheckJob(const State& state, const Job& job);

// Of all: no slot is held twice.
void CheckSlots(const State& state);

}  // namespace anamnesis::core
