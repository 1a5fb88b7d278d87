// SPDX-License-Identifier: Apache-2.0
// One handler for each event. A refusal has changed nothing. users.cc, attempts.cc, nodes.cc,
// sessions.cc and reports.cc hold them.
#pragma once

#include "services/core/change.h"

namespace anamnesis::core {

Status Handle(Change* change, const Submit& event);
Status Handle(Change* change, const Cancel& event);
Status Handle(Change* change, const Pause& event);
Status Handle(Change* change, const Resume& event);

Status Handle(Change* change, const Assign& event);
Status Handle(Change* change, const Launched& event);
Status Handle(Change* change, const LaunchFailed& event);
Status Handle(Change* change, const EngineWaits& event);
Status Handle(Change* change, const EngineSeen& event);
Status Handle(Change* change, const WorkerGone& event);
Status Handle(Change* change, const LeaseExpired& event);
Status Handle(Change* change, const ListensAgain& event);
Status Handle(Change* change, const Park& event);

Status Handle(Change* change, const CordonNode& event);
Status Handle(Change* change, const UncordonNode& event);
Status Handle(Change* change, const SlotsSeen& event);

Status Handle(Change* change, const Attached& event);
Status Handle(Change* change, const Heard& event);
Status Handle(Change* change, const Detached& event);
Status Handle(Change* change, const Commit& event);

Status Handle(Change* change, const Reported& event);

}  // namespace anamnesis::core
