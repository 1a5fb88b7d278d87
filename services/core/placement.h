// SPDX-License-Identifier: Apache-2.0
// Who gets slots now, and who waits for what: the plan that Decide carries out and Explain puts
// into words. The rule is in decide.h. Pure.
#pragma once

#include <optional>
#include <vector>

#include "services/core/decide.h"

namespace anamnesis::core {

struct PlacementPlan {
  std::vector<Place> places;       // in order of the queue
  std::optional<JobId> held_back;  // the first gang that does not fit; all behind it wait
  std::vector<int64_t> free;       // slots left over
};

PlacementPlan PlanPlacement(const State& state, const Now& now, const Options& options);

// Until the next attempt of a recovering job is due. None is left, too, when more than the limit
// is: then the clock was set back.
absl::Duration RetryLeft(const Job& job, const Now& now, const Options& options);

// Its attempt failed, its worker is attached and within its lease: the next epoch goes to it.
bool CanKeepWorker(const State& state, const Job& job, const Now& now, const Options& options);

// An attempt that is over and whose worker may be alive: from when on (monotonic) the worker has to
// end. A worker that may be kept has to when its lease ends.
absl::Duration LeaveTime(const State& state, const Job& job, const Session& session,
                         const Options& options);

}  // namespace anamnesis::core
