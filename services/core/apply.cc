// SPDX-License-Identifier: Apache-2.0
#include "services/core/apply.h"

#include <utility>

#include "services/core/handlers.h"
#include "services/core/invariants.h"

namespace anamnesis::core {
namespace {

constexpr char kStaleEpochPayload[] = "anamnesis.v1/stale_epoch";

}  // namespace

StatusOr<Outcome> Apply(State* state, const Event& event, const Now& now, const Options& options) {
  Change change{*state, now, options, {}};
  ANAM_RETURN_IF_ERROR(std::visit([&](const auto& what) { return Handle(&change, what); }, event));
  Outcome& outcome = change.outcome;
  if (outcome.job && (outcome.changed || outcome.created)) {
    Job& job = *state->Find(*outcome.job);
    job.update_time = now.wall;
    Index(job, state);
    if (IsTerminal(job.state)) TellFollowers(&change, job.id);
    CheckJob(*state, job);
    CheckSlots(*state);
  }
  return std::move(outcome);
}

Status StaleEpoch(int64_t epoch, int64_t current) {
  Status status = epoch > current ? Aborted("there is no epoch ", epoch)
                  : epoch == current
                      ? Aborted("epoch ", epoch, " is over")
                      : Aborted("epoch ", epoch, " is over; the last one is ", current);
  status.SetPayload(kStaleEpochPayload, absl::Cord());
  return status;
}

bool IsStaleEpoch(const Status& status) {
  return status.GetPayload(kStaleEpochPayload).has_value();
}

}  // namespace anamnesis::core
