// SPDX-License-Identifier: Apache-2.0
#include "services/core/invariants.h"

#include "tests/unit/services/core/picture.h"

namespace anamnesis::core {
namespace {

TEST(InvariantsDeathTest, AJobRunsOneAttemptAtATime) {
  Picture picture;
  const JobId id = picture.Running("a");
  Job& job = picture.job(id);
  CheckJob(picture.state, job);
  Attempt second = job.attempts[0];
  second.epoch = 2;
  job.attempts.push_back(second);
  EXPECT_DEATH(CheckJob(picture.state, job), "IsOver");
}

TEST(InvariantsDeathTest, EpochsAscendByOne) {
  Picture picture;
  Job& job = picture.job(picture.Running("a"));
  job.attempts[0].epoch = 2;
  EXPECT_DEATH(CheckJob(picture.state, job), "epoch");
}

TEST(InvariantsDeathTest, ARunningJobHasAnAttempt) {
  Picture picture;
  Job& job = picture.job(picture.Queued("a"));
  job.state = JobState::kRunning;
  EXPECT_DEATH(CheckJob(picture.state, job), "RunsIn");
}

TEST(InvariantsDeathTest, NoSlotIsHeldTwice) {
  Picture picture;
  picture.Running("a");
  Job& job = picture.job(picture.Running("b"));
  CheckSlots(picture.state);
  job.attempts[0].slots = {0};
  EXPECT_DEATH(CheckSlots(picture.state), "insert");
}

TEST(InvariantsDeathTest, ApplyChecksThem) {
  Picture picture;
  const JobId id = picture.Running("a");
  picture.job(id).state = JobState::kSucceeded;  // behind Apply's back
  EXPECT_DEATH(picture.Step(id, 2), "RunsIn");
}

}  // namespace
}  // namespace anamnesis::core
