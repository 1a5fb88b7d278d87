// SPDX-License-Identifier: Apache-2.0
// The worker's reports as messages: ends of a gang, phases. Pure.
#pragma once

#include <string>

#include "anamnesis/v1/worker_service.pb.h"
#include "workers/agent/phase_meter.h"
#include "workers/gang/gang.h"

namespace anamnesis::agent {

// A report of `epoch`, stamped with the time.
v1::Report NewReport(int64_t epoch);
v1::Report PhaseReport(int64_t epoch, v1::AttemptState state, const PhaseView& view);
// How the gang ended, all ranks done apart.
v1::Report EndReport(int64_t epoch, const gang::Outcome& outcome);
// What went wrong before there was a gang.
v1::Report FailureReport(int64_t epoch, const Status& status);

// The reason by which the coordinator decides whether to try again.
v1::Reason ReasonOf(const Status& status);

}  // namespace anamnesis::agent
