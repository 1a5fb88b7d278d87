// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "services/core/placement.h"

namespace anamnesis::core {
namespace {

// "250 ms", "3 s", "4 min 10 s", "2 h 5 min"; rounded up, so that it never says "0 s".
std::string InWords(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "ever";
  if (duration <= absl::ZeroDuration()) return "0 s";
  if (duration < absl::Seconds(1)) {
    return Cat(absl::ToInt64Milliseconds(absl::Ceil(duration, absl::Milliseconds(1))), " ms");
  }
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(duration, absl::Seconds(1)));
  const auto two = [](int64_t big, const char* big_unit, int64_t small, const char* small_unit) {
    return small == 0 ? Cat(big, big_unit) : Cat(big, big_unit, " ", small, small_unit);
  };
  if (seconds < 60) return Cat(seconds, " s");
  if (seconds < 3600) return two(seconds / 60, " min", seconds % 60, " s");
  return two(seconds / 3600, " h", seconds % 3600 / 60, " min");
}

std::string Slots(int64_t count) { return Cat(count, count == 1 ? " slot" : " slots"); }

std::string WithMessage(const std::string& text, const std::string& message) {
  return message.empty() ? text : Cat(text, ": ", message);
}

// "1 of 4 is free (jobs/3 holds 2, jobs/5 holds 1)"
std::string WhoHolds(const State& state, size_t num_free, const Options& options) {
  std::string holders;
  for (const auto& [key, session] : state.sessions) {
    const size_t count = state.Find(key.first)->attempts.back().slots.size();
    holders += Cat(holders.empty() ? "" : ", ", NameOf(key.first), " holds ", count);
  }
  for (const auto& [slot, fault] : state.slot_faults) {
    holders += Cat(holders.empty() ? "" : ", ", "slot ", slot, ": ", fault);
  }
  const std::string free =
      Cat(num_free, " of ", options.num_slots, num_free == 1 ? " is free" : " are free");
  return holders.empty() ? free : Cat(free, " (", holders, ")");
}

std::string ExplainFollowing(const Followed& followed) {
  return followed.found == nullptr
             ? Cat("waits for ", NameOf(followed.id), ", which is not there: cancel this job")
             : Cat("waits for ", NameOf(followed.id), ", which is ", NameOf(followed.found->state));
}

std::string ExplainWaiting(const State& state, const Job& job, const Now& now,
                           const Options& options) {
  const int64_t ranks = job.resolved.ranks;
  if (const auto followed = WaitsFor(state, job)) return ExplainFollowing(*followed);
  if (state.parking) return "the coordinator shuts down; the next one continues it";
  if (state.engine_fault) return Cat("the engine does not answer: ", *state.engine_fault);
  const PlacementPlan plan = PlanPlacement(state, now, options);
  const bool keeps = state.FindSession(job) != nullptr;
  if (state.cordon && !keeps) {
    return Cat("the node is ", state.cordon->drains ? "drained" : "cordoned", " by ",
               WithMessage(state.cordon->actor, state.cordon->message),
               "; it starts after anamnesis node uncordon");
  }
  if (std::any_of(plan.places.begin(), plan.places.end(),
                  [&](const Place& place) { return place.job == job.id; })) {
    return "its next attempt starts now";
  }
  if (state.FindSession(job) != nullptr) {
    return Cat("waits for the worker of attempt ", job.attempts.back().epoch, " to end");
  }
  if (ranks > options.num_slots) {
    return Cat("needs ", Slots(ranks), "; this coordinator has ", options.num_slots,
               " (--slots of anamnesis up)");
  }
  if (plan.held_back && *plan.held_back != job.id) {
    const Job& first = *state.Find(*plan.held_back);
    return Cat("behind ", NameOf(first.id),
               first.spec.priority > job.spec.priority ? ", which has a higher priority"
                                                       : ", which came first",
               " and waits for ", Slots(first.resolved.ranks));
  }
  return Cat("waits for ", Slots(ranks), "; ", WhoHolds(state, plan.free.size(), options));
}

std::string ExplainActive(const State& state, const Job& job, const Now& now,
                          const Options& options) {
  const Session& session = *state.FindSession(job);
  const absl::Duration lease_left = LeaseEnd(session, options) - now.monotonic;
  if (session.launching) {
    if (job.stop_deadline || StopTime(state)) return "its worker, not there yet, is told to end";
    if (!job.progress.phase.empty()) return Cat("waits in the engine: ", job.progress.phase);
    return Cat("waits for the worker of attempt ", job.attempts.back().epoch, ", ",
               InWords(lease_left), " more");
  }
  const Progress& progress = job.progress;
  std::string text;
  if (job.stop_deadline) {
    text = Cat("saves and stops; is killed in ", InWords(*job.stop_deadline - now.wall), " if not");
  } else if (StopTime(state)) {
    text = Cat("saves and stops, as the ",
               state.parking ? "coordinator shuts down" : "node is drained");
  } else if (job.state == JobState::kRunning) {
    text = Cat("at step ", progress.step, " of ", progress.total_steps);
  } else {
    const std::string what = job.state == JobState::kPreparing ? "prepares" : "its ranks meet";
    text = WithMessage(what, progress.phase);
    if (progress.total > 0) text += Cat(" ", progress.done, " of ", progress.total);
  }
  if (!session.attached) {
    text += Cat("; its worker is out of reach and has ", InWords(lease_left), " to come back");
  }
  return text;
}

}  // namespace

std::string Explain(const State& state, JobId id, const Now& now, const Options& options) {
  const Job* job = state.Find(id);
  if (job == nullptr) return Cat("there is no ", NameOf(id));
  if (job->active() != nullptr) return ExplainActive(state, *job, now, options);
  switch (job->state) {
    case JobState::kQueued:
      return ExplainWaiting(state, *job, now, options);
    case JobState::kRecovering:
      if (const absl::Duration left = RetryLeft(*job, now, options);
          left > absl::ZeroDuration() && !state.parking && !state.cordon) {
        return WithMessage(Cat("the next attempt starts in ", InWords(left)), job->message);
      }
      return ExplainWaiting(state, *job, now, options);
    case JobState::kPaused:
      if (const auto followed = WaitsFor(state, *job)) {
        return Cat("paused; once resumed, ", ExplainFollowing(*followed));
      }
      return job->latest_checkpoint
                 ? Cat("paused; resume continues after step ", job->latest_checkpoint->step)
                 : "paused; resume starts it at step 0";
    default:
      return WithMessage(Cat(NameOf(job->state), " (", NameOf(job->reason), ")"), job->message);
  }
}

}  // namespace anamnesis::core
