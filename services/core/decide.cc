// SPDX-License-Identifier: Apache-2.0
#include "services/core/decide.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "services/core/placement.h"

namespace anamnesis::core {
namespace {

struct StopOrder {
  absl::Duration grace;  // left; none left: kill
  std::string reason;
};

// Whether the active attempt is to stop, and by when.
std::optional<StopOrder> FindStopOrder(const State& state, const Job& job, const Now& now) {
  std::optional<StopOrder> order;
  if (job.stop_deadline) {
    order = {*job.stop_deadline - now.wall, Cat(NameOf(job.id), " is ", NameOf(job.state))};
  }
  if (const auto since = StopTime(state)) {
    const absl::Duration left = *since + kParkGrace - now.monotonic;
    if (!order || left < order->grace) {
      order = {left, state.parking ? "the coordinator shuts down" : "the node is drained"};
    }
  }
  return order;
}

std::optional<Decision> DecideActive(const State& state, const Job& job, const Session& session,
                                     const Now& now, const Options& options) {
  const int64_t epoch = job.attempts.back().epoch;
  if (now.monotonic >= LeaseEnd(session, options)) {
    return Decision{Expire{job.id, epoch},
                    session.launching ? "the worker never came" : "the worker was not heard of"};
  }
  std::optional<StopOrder> order = FindStopOrder(state, job, now);
  if (!order) return std::nullopt;
  if (order->grace <= absl::ZeroDuration()) {
    return Decision{Kill{job.id, epoch, true}, Cat(order->reason, ", the grace is over")};
  }
  if (session.launching) {
    return Decision{Kill{job.id, epoch, false}, Cat(order->reason, ", there is nothing to save")};
  }
  if (!session.attached) return std::nullopt;  // it is told when it comes back
  return Decision{Stop{job.id, epoch, order->grace}, std::move(order->reason)};
}

// The attempt is over, its process may be alive.
std::optional<Decision> DecideIdle(const State& state, const Job& job, const Session& session,
                                   const Now& now, const Options& options) {
  const Attempt& attempt = job.attempts.back();
  const absl::Duration leave = LeaveTime(state, job, session, options);
  if (now.monotonic < leave) return std::nullopt;
  const std::string why = Cat("attempt ", attempt.epoch, " is ", NameOf(attempt.state));
  if (now.monotonic >= leave + options.kill_patience) {
    return Decision{Kill{job.id, attempt.epoch, true}, Cat(why, ", its worker did not end")};
  }
  const bool silent = now.monotonic >= LeaseEnd(session, options);
  if (session.attached && !silent && attempt.state != AttemptState::kLost) {
    return Decision{Dismiss{job.id, attempt.epoch}, Cat(why, " and gets no successor")};
  }
  return Decision{Kill{job.id, attempt.epoch, false}, Cat(why, ", its worker is out of reach")};
}

// Calls `visit` with each moment, as the time left until then, at which Decide may change its mind
// about a job that has a session.
template <typename Visit>
void ForEachMoment(const State& state, const Job& job, const Session& session, const Now& now,
                   const Options& options, const Visit& visit) {
  if (job.stop_deadline) visit(*job.stop_deadline - now.wall);
  visit(LeaseEnd(session, options) - now.monotonic);
  if (job.active() != nullptr) {
    if (const auto since = StopTime(state)) visit(*since + kParkGrace - now.monotonic);
    return;
  }
  const absl::Duration leave = LeaveTime(state, job, session, options);
  visit(leave - now.monotonic);
  visit(leave + options.kill_patience - now.monotonic);
}

}  // namespace

std::vector<Decision> Decide(const State& state, const Now& now, const Options& options) {
  std::vector<Decision> decisions;
  for (const auto& [key, session] : state.sessions) {
    const Job& job = *state.Find(key.first);
    auto decision = job.active() != nullptr ? DecideActive(state, job, session, now, options)
                                            : DecideIdle(state, job, session, now, options);
    if (decision) decisions.push_back(*std::move(decision));
  }
  PlacementPlan plan = PlanPlacement(state, now, options);
  for (Place& place : plan.places) {
    std::string reason = place.keep_worker
                             ? Cat("the worker of attempt ",
                                   state.Find(place.job)->attempts.back().epoch, " goes on")
                             : Cat(place.slots.size(),
                                   place.slots.size() == 1 ? " slot is free" : " slots are free");
    decisions.push_back({std::move(place), std::move(reason)});
  }
  return decisions;
}

absl::Duration NextWake(const State& state, const Now& now, const Options& options) {
  absl::Duration wake = absl::InfiniteDuration();
  const auto visit = [&](absl::Duration left) {
    if (left > absl::ZeroDuration()) wake = std::min(wake, left);
  };
  for (const auto& [key, session] : state.sessions) {
    ForEachMoment(state, *state.Find(key.first), session, now, options, visit);
  }
  for (const JobId id : state.recovering) visit(RetryLeft(*state.Find(id), now, options));
  return wake;
}

}  // namespace anamnesis::core
