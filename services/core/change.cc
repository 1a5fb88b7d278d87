// SPDX-License-Identifier: Apache-2.0
#include "services/core/change.h"

#include <set>
#include <utility>

#include "common/base/check.h"
#include "services/core/failure_rule.h"
#include "services/core/invariants.h"

namespace anamnesis::core {
namespace {

constexpr size_t kMaxFailures = 64;

bool IsStopping(JobState state) {
  return state == JobState::kCancelling || state == JobState::kPausing ||
         state == JobState::kPreempting || state == JobState::kResizing;
}

// The one place where a job's state changes.
Transition Move(const Change* change, Job* job, JobState to, Reason reason,
                const std::string& actor, const std::string& message) {
  ANAM_CHECK(MayGo(job->state, to));
  const int64_t epoch = job->attempts.empty() ? 0 : job->attempts.back().epoch;
  Transition transition = {change->now.wall, job->state, to, reason, actor, epoch, message};
  job->state = to;
  job->reason = reason;
  job->message = message;
  job->update_time = change->now.wall;
  if (to != JobState::kRecovering) job->retry_time.reset();
  if (!IsStopping(to)) job->stop_deadline.reset();
  if (IsTerminal(to)) job->end_time = change->now.wall;
  return transition;
}

// A job that was to be cancelled or paused is that, however its attempt ended.
bool GoAsTold(Change* change, Job* job, const std::string& actor, const std::string& message) {
  if (job->state == JobState::kCancelling) {
    Go(change, job, JobState::kCancelled, Reason::kUserCancelled, actor, message);
    return true;
  }
  if (job->state == JobState::kPausing) {
    Go(change, job, JobState::kPaused, Reason::kUserPaused, actor, message);
    return true;
  }
  return false;
}

}  // namespace

StatusOr<Job*> FindJob(Change* change, JobId id) {
  Job* job = change->state.Find(id);
  if (job == nullptr) return NotFound("there is no ", NameOf(id));
  change->outcome.job = id;
  return job;
}

StatusOr<Attempt*> FindWorker(Job* job, int64_t epoch) {
  if (job->attempts.empty()) return StaleEpoch(epoch, 0);
  Attempt* last = &job->attempts.back();
  const Attempt* named = job->FindAttempt(epoch);
  if (named == nullptr || named->token != last->token) return StaleEpoch(epoch, last->epoch);
  return last;
}

StatusOr<Attempt*> FindActive(Job* job, int64_t epoch) {
  Attempt* active = job->active();
  if (active == nullptr || active->epoch != epoch) {
    return StaleEpoch(epoch, job->attempts.empty() ? 0 : job->attempts.back().epoch);
  }
  return active;
}

void Go(Change* change, Job* job, JobState to, Reason reason, const std::string& actor,
        const std::string& message) {
  change->outcome.transitions.push_back(Move(change, job, to, reason, actor, message));
  change->outcome.changed = true;
}

void TellFollowers(Change* change, JobId ended) {
  std::vector<JobId> todo = {ended};
  while (!todo.empty()) {
    const JobId id = todo.back();
    todo.pop_back();
    const auto found = change->state.followers.find(id);
    if (found == change->state.followers.end()) continue;
    const std::set<JobId> followers = std::move(found->second);
    change->state.followers.erase(found);
    const Job& followed = *change->state.Find(id);
    for (const JobId follower : followers) {
      Job* job = change->state.Find(follower);
      if (followed.state != JobState::kSucceeded) {
        const std::string message = Cat("it was to follow ", NameOf(id), ", which is ",
                                        NameOf(followed.state), " and not succeeded");
        change->outcome.consequences.emplace_back(
            follower, Move(change, job, JobState::kCancelled, Reason::kAfterNotSucceeded,
                           kByCoordinator, message));
        todo.push_back(follower);
      }
      Index(*job, &change->state);
      CheckJob(change->state, *job);
    }
  }
}

void EndAttempt(Change* change, Job* job, AttemptState state, Reason reason,
                const std::string& message) {
  Attempt* attempt = job->active();
  ANAM_CHECK(attempt != nullptr && IsOver(state));
  attempt->state = state;
  attempt->reason = reason;
  attempt->message = message;
  attempt->end_time = change->now.wall;
  change->outcome.changed = true;
  if (Session* session = change->state.FindSession(*job)) {
    session->idle_since = change->now.monotonic;
    for (int64_t node = 0; node < attempt->nodes; ++node) {
      Line* line = FindLine(session, node);
      line->launching = false;
      // A lost worker is refused from now on: its session counts for nothing.
      if (state == AttemptState::kLost) line->attached = false;
    }
  }
}

void ReleaseSlots(Change* change, Job* job) {
  Attempt& last = job->attempts.back();
  last.holds_slots = false;
  change->state.sessions.erase({job->id, last.epoch});
  change->outcome.changed = true;
}

void GoAfterFailure(Change* change, Job* job, Failure failure, const std::string& actor) {
  const std::string message = failure.message;
  if (GoAsTold(change, job, actor, message)) return;
  job->failures.push_back(std::move(failure));
  if (job->failures.size() > kMaxFailures) job->failures.erase(job->failures.begin());
  const Verdict verdict = JudgeFailure(*job, change->options);
  Go(change, job, verdict.next, verdict.reason, actor, verdict.message);
  if (verdict.next == JobState::kRecovering) {
    job->retry_time = change->now.wall + verdict.retry_in;
  }
}

void GoAfterStop(Change* change, Job* job, Reason unasked, const std::string& actor,
                 const std::string& message) {
  if (GoAsTold(change, job, actor, message)) return;
  const Reason reason = StopTime(change->state) ? StopReason(change->state) : unasked;
  Go(change, job, JobState::kQueued, reason, actor, message);
}

}  // namespace anamnesis::core
