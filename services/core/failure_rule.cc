// SPDX-License-Identifier: Apache-2.0
#include "services/core/failure_rule.h"

#include <algorithm>

#include "common/base/check.h"

namespace anamnesis::core {
namespace {

bool ComesAgain(Reason reason) {
  return reason == Reason::kInvalidInput || reason == Reason::kOutOfMemory ||
         reason == Reason::kInternal || reason == Reason::kEngineCancelled;
}

// No fault of the job: waited for without end.
bool IsBlameless(Reason reason) {
  return reason == Reason::kDiskFull || reason == Reason::kPreempted ||
         reason == Reason::kNodeLost || reason == Reason::kEngineUnreachable;
}

bool AreEqual(const Job& job, int64_t count) {
  const auto& failures = job.failures;
  if (count < 1 || static_cast<int64_t>(failures.size()) < count) return false;
  const Failure& last = failures.back();
  if (IsBlameless(last.reason)) return false;
  return std::all_of(failures.end() - count, failures.end(), [&](const Failure& failure) {
    return failure.reason == last.reason && failure.last_step == last.last_step;
  });
}

absl::Duration Backoff(size_t num_failures, const Options& options) {
  absl::Duration wait = options.retry_base;
  for (size_t i = 1; i < num_failures && wait < options.retry_limit; ++i) wait *= 2;
  return std::min(wait, options.retry_limit);
}

}  // namespace

Verdict JudgeFailure(const Job& job, const Options& options) {
  ANAM_CHECK(!job.failures.empty());
  const Failure& last = job.failures.back();
  if (last.reason == Reason::kInvalidInput && job.steps_executed == 0) {
    return {JobState::kRejected, last.reason, last.message, {}};
  }
  if (ComesAgain(last.reason)) return {JobState::kFailed, last.reason, last.message, {}};
  if (AreEqual(job, options.equal_failures)) {
    return {JobState::kFailed,
            Reason::kEqualFailures,
            Cat(last.message, " (", options.equal_failures, " times after step ", last.last_step,
                ": ", NameOf(last.reason), ")"),
            {}};
  }
  return {JobState::kRecovering, last.reason, last.message, Backoff(job.failures.size(), options)};
}

bool IsFailureReason(Reason reason) {
  return reason >= Reason::kRankFailed && reason <= Reason::kInternal &&
         reason != Reason::kEqualFailures;
}

}  // namespace anamnesis::core
