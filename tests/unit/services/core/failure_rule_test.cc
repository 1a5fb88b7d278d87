// SPDX-License-Identifier: Apache-2.0
#include "services/core/failure_rule.h"

#include <gtest/gtest.h>

namespace anamnesis::core {
namespace {

Job FailedWith(const std::vector<Failure>& failures, int64_t steps_executed = 1) {
  Job job;
  job.failures = failures;
  job.steps_executed = steps_executed;
  return job;
}

TEST(FailureRule, GoesByTheReason) {
  const struct {
    Reason reason;
    int64_t steps;
    JobState next;
  } rows[] = {
      {Reason::kInvalidInput, 0, JobState::kRejected},
      {Reason::kInvalidInput, 1, JobState::kFailed},
      {Reason::kOutOfMemory, 0, JobState::kFailed},
      {Reason::kInternal, 1, JobState::kFailed},
      {Reason::kRankFailed, 0, JobState::kRecovering},
      {Reason::kWorkerLost, 1, JobState::kRecovering},
      {Reason::kLeaseExpired, 1, JobState::kRecovering},
      {Reason::kLaunchFailed, 0, JobState::kRecovering},
      {Reason::kReboot, 1, JobState::kRecovering},
      {Reason::kDiskFull, 1, JobState::kRecovering},
  };
  for (const auto& row : rows) {
    const Verdict verdict = JudgeFailure(FailedWith({{row.reason, "why", 1}}, row.steps), {});
    EXPECT_EQ(verdict.next, row.next) << NameOf(row.reason) << " after " << row.steps;
    EXPECT_EQ(verdict.reason, row.reason);
    EXPECT_EQ(verdict.message, "why");
  }
}

TEST(FailureRule, EndsAPoisonJobAtTheThirdEqualFailure) {
  const Failure failure{Reason::kRankFailed, "signal 11", 7};
  EXPECT_EQ(JudgeFailure(FailedWith({failure, failure}), {}).next, JobState::kRecovering);
  const Verdict verdict = JudgeFailure(FailedWith({failure, failure, failure}), {});
  EXPECT_EQ(verdict.next, JobState::kFailed);
  EXPECT_EQ(verdict.reason, Reason::kEqualFailures);
  EXPECT_EQ(verdict.message.find("signal 11"), 0u);
}

TEST(FailureRule, WaitsForAFullDiskWithoutEnd) {
  const Failure full{Reason::kDiskFull, "no space left", 7};
  EXPECT_EQ(JudgeFailure(FailedWith(std::vector<Failure>(40, full)), {}).next,
            JobState::kRecovering);
}

TEST(FailureRule, EqualMeansTheSameReasonAndStepInARow) {
  const Failure a{Reason::kRankFailed, "x", 7}, other_step{Reason::kRankFailed, "x", 8},
      other_reason{Reason::kWorkerLost, "x", 7};
  for (const Failure& between : {other_step, other_reason}) {
    for (const auto& row : {std::vector{between, a, a}, {a, between, a}, {a, a, between}}) {
      EXPECT_EQ(JudgeFailure(FailedWith(row), {}).next, JobState::kRecovering);
    }
  }
}

TEST(FailureRule, WaitsLongerAfterEachFailureUpToTheLimit) {
  Options options;
  options.retry_base = absl::Seconds(1);
  options.retry_limit = absl::Seconds(10);
  std::vector<Failure> failures;
  for (const int64_t seconds : {1, 2, 4, 8, 10, 10}) {
    failures.push_back({Reason::kDiskFull, "full", static_cast<int64_t>(failures.size())});
    EXPECT_EQ(JudgeFailure(FailedWith(failures), options).retry_in, absl::Seconds(seconds));
  }
}

}  // namespace
}  // namespace anamnesis::core
