// SPDX-License-Identifier: Apache-2.0
// The loop with a real store and real processes, on a clock that stands.
#include "services/coordinator/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/process/spawn.h"
#include "tests/unit/services/coordinator/running_loop.h"

namespace anamnesis::coordinator {
namespace {

using core::JobState;

// A worker of an earlier life is our child all the same: the kernel calls it gone once it is
// reaped.
void EndProcess(int64_t pid) {
  ::kill(static_cast<pid_t>(pid), SIGKILL);
  ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
}

TEST(Loop, ASubmissionIsDurableBeforeItsReply) {
  Ground ground;
  RunningLoop life(ground);
  life.Start();
  size_t stored = 0;
  const auto applied = life.Do(RunningLoop::MakeSubmit("r"), [&](const auto&) {
    const auto another = store::Store::Open(ground.folder.File("state.db"));
    ASSERT_TRUE(another.ok()) << another.status();
    stored = (*another)->Load()->jobs.size();
  });
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(stored, 1u);
  EXPECT_TRUE(applied->created);
  EXPECT_EQ(applied->job->id, kFirst);
  EXPECT_FALSE(life.Submit("r")->created);  // the same request again
  life.KillWorkers();
}

TEST(Loop, AJobIsPlacedAndItsWorkerRecorded) {
  Ground ground;
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit("a").ok());
  ASSERT_TRUE(life.Submit("b").ok());
  const JobSnapshot job = life.WaitForWorker(kFirst);
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(job->state, JobState::kPreparing);
  EXPECT_EQ(job->attempts.back().token.size(), 64u);
  EXPECT_EQ(::kill(static_cast<pid_t>(job->attempts.back().worker.pid), 0), 0);
  EXPECT_EQ(life.board().Find(core::JobId{2})->state, JobState::kQueued);  // one slot
  life.KillWorkers();
}

core::Submit Following(core::JobId followed, const std::string& request_id) {
  core::Submit submit = RunningLoop::MakeSubmit(request_id);
  submit.spec.after = followed;
  return submit;
}

TEST(Loop, AJobWaitsForTheOneThatItFollowsAndIsCancelledWithItAlsoAfterARestart) {
  Ground ground;
  const core::JobId kSecond{2}, kThird{3};
  {
    RunningLoop life(ground, /*num_slots=*/2);
    life.Start();
    ASSERT_TRUE(life.Submit("a").ok());
    ASSERT_TRUE(life.Do(Following(kFirst, "b")).ok());
    ASSERT_TRUE(life.Do(Following(kSecond, "c")).ok());
    ASSERT_NE(life.WaitForWorker(kFirst), nullptr);
    EXPECT_EQ(life.Do(Following(core::JobId{9}, "d")).status().code(), absl::StatusCode::kNotFound);
  }
  RunningLoop life(ground, /*num_slots=*/2);
  life.Start();
  EXPECT_TRUE(life.board().Find(kSecond)->attempts.empty());  // though a slot is free
  EXPECT_EQ(life.board().Find(kSecond)->state, JobState::kQueued);
  const auto again = life.Do(Following(kFirst, "b"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->created);
  ASSERT_TRUE(life.Do(core::Cancel{.job = kFirst, .grace = absl::ZeroDuration()}).ok());
  const JobSnapshot third = life.WaitForState(kThird, JobState::kCancelled);
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(third->reason, core::Reason::kAfterNotSucceeded);
  EXPECT_EQ(third->message, "it was to follow jobs/2, which is cancelled and not succeeded");
  const auto stored = *life.store().Transitions(kSecond);
  ASSERT_EQ(stored.size(), 2u);
  EXPECT_EQ(stored[1].reason, core::Reason::kAfterNotSucceeded);
  EXPECT_EQ(life.Do(Following(kFirst, "e")).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Loop, ALaunchThatFailsIsTriedAgainAfterItsBackoff) {
  Ground ground;
  ground.worker_program = ground.folder.File("absent");
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  JobSnapshot job = life.WaitForState(kFirst, JobState::kRecovering);
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(job->reason, core::Reason::kLaunchFailed);
  EXPECT_EQ(job->attempts.size(), 1u);
  ground.clock.Advance(absl::Milliseconds(251));
  job = life.WaitFor(kFirst, [](const core::Job& j) { return j.failures.size() == 2; });
  ASSERT_NE(job, nullptr);
  ground.clock.Advance(absl::Milliseconds(501));
  job = life.WaitForState(kFirst, JobState::kFailed);
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(job->reason, core::Reason::kEqualFailures);
}

TEST(Loop, AWorkerThatEndsIsSeenAndItsJobRecovers) {
  Ground ground("exit 1\n");
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  const JobSnapshot job = life.WaitForState(kFirst, JobState::kRecovering);
  ASSERT_NE(job, nullptr);
  EXPECT_FALSE(job->attempts.back().holds_slots);
}

TEST(Loop, ParkingEndsWorkersThatHaveNothingToSaveAndThenTheLoop) {
  Ground ground;
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  ASSERT_NE(life.WaitForWorker(kFirst), nullptr);
  life.loop().Shutdown(/*park=*/true);
  life.Join();
  EXPECT_EQ(life.board().Find(kFirst)->state, JobState::kQueued);
  EXPECT_FALSE(life.launcher().busy());
}

TEST(Loop, WhatComesAfterItsEndIsAnsweredUnavailable) {
  Ground ground;
  RunningLoop life(ground);
  // Before Run, as between the start of the servers and a failure of what comes after it.
  std::promise<absl::StatusCode> early;
  life.loop().Post(RunningLoop::MakeSubmit(),
                   [&](const auto& applied) { early.set_value(applied.status().code()); });
  bool asked = false;
  life.loop().Ask([&](const core::State* state) { asked = state == nullptr; });
  life.loop().Close();
  EXPECT_EQ(early.get_future().get(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(asked);
  EXPECT_EQ(life.Submit().status().code(), absl::StatusCode::kUnavailable);
  life.Look([](const core::State* state) { EXPECT_EQ(state, nullptr); });
}

TEST(Loop, AStartAdoptsTheWorkersThatStillRun) {
  Ground ground;
  {
    RunningLoop first(ground);
    first.Start();
    ASSERT_TRUE(first.Submit().ok());
    ASSERT_NE(first.WaitForWorker(kFirst), nullptr);
  }
  RunningLoop second(ground);
  EXPECT_TRUE(second.launcher().Watches(kFirst));
  second.Start();
  const JobSnapshot job = second.board().Find(kFirst);
  EXPECT_EQ(job->state, JobState::kPreparing);
  EXPECT_EQ(job->attempts.size(), 1u);
  second.KillWorkers();
  EXPECT_EQ(second.board().Find(kFirst)->state, JobState::kQueued);
}

TEST(Loop, AStartMissesTheWorkersThatEndedMeanwhile) {
  Ground ground;
  {
    RunningLoop first(ground);
    first.Start();
    ASSERT_TRUE(first.Submit().ok());
    const JobSnapshot job = first.WaitForWorker(kFirst);
    ASSERT_NE(job, nullptr);
    first.End();
    EndProcess(job->attempts.back().worker.pid);
  }
  RunningLoop second(ground);
  second.Start();
  const JobSnapshot job = second.WaitForState(kFirst, JobState::kRecovering);
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(job->reason, core::Reason::kWorkerLost);
}

// The coordinator ended between the launch and its record.
TEST(Loop, AWorkerThatWasNotRecordedIsWatchedFromWhenItAttaches) {
  Ground ground;
  core::Job job;
  job.id = kFirst;
  job.resolved.output_dir = "/out";
  job.state = JobState::kPreparing;
  job.attempts.push_back({.epoch = 1, .slots = {0}, .token = "secret"});
  {
    store::Batch batch;
    batch.jobs[kFirst] = &job;
    ASSERT_TRUE((*store::Store::Open(ground.folder.File("state.db")))->Write(batch).ok());
  }
  StatusOr<ChildProcess> worker = ChildProcess::Spawn({.argv = {"/bin/sleep", "1000"}});
  ASSERT_TRUE(worker.ok());
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(
      life.Do(core::Attached{
                  .job = kFirst, .epoch = 1, .token = "secret", .host = "h", .pid = worker->pid()})
          .ok());
  const JobSnapshot watched = life.WaitFor(
      kFirst, [](const core::Job& j) { return !j.attempts.back().worker.boot_id.empty(); });
  ASSERT_NE(watched, nullptr);
  EXPECT_EQ(watched->attempts.back().worker.start_ticks, IdentityOf(worker->pid())->start_ticks);
  worker->Signal(SIGKILL);
  worker->Wait();
  EXPECT_NE(life.WaitForState(kFirst, JobState::kRecovering), nullptr);
}

// The end of a session that was replaced may be told after the new one has come.
TEST(Loop, AnOldSessionsEndDoesNotDetachTheNewOne) {
  Ground ground;
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  const JobSnapshot job = life.WaitForWorker(kFirst);
  ASSERT_NE(job, nullptr);
  std::promise<void> detached;
  life.Look([&](const core::State*) {  // both wait for the same turn
    life.loop().Post(
        core::Attached{.job = kFirst, .epoch = 1, .token = job->attempts.back().token, .pid = 1});
    life.loop().Post(core::Detached{.job = kFirst, .epoch = 1});
    life.loop().Ask([&](const core::State*) { detached.set_value(); });
  });
  detached.get_future().get();
  life.Look([](const core::State* state) {
    EXPECT_TRUE(state->FindSession(*state->Find(kFirst))->attached);
  });
  life.Pass(ground.clock, 6);  // its lease runs out; then it is killed
  ASSERT_NE(life.WaitForState(kFirst, JobState::kRecovering), nullptr);
  life.KillWorkers();
}

// A disk may take longer for a write than the lease is; by then workers have given their streams
// up.
TEST(Loop, AWorkerIsNotSilentWhileNobodyListens) {
  Ground ground;
  RunningLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  ASSERT_NE(life.WaitForWorker(kFirst), nullptr);
  const core::Attempt attempt = life.board().Find(kFirst)->attempts.back();
  ASSERT_TRUE(life.Do(core::Attached{.job = kFirst, .epoch = 1, .token = attempt.token},
                      [&](const auto&) { ground.clock.Advance(absl::Seconds(9)); })
                  .ok());
  life.Look([](const core::State*) {});  // the turn in which its lease would have run out
  life.Look([](const core::State* state) {
    EXPECT_EQ(state->Find(kFirst)->state, JobState::kPreparing);
  });
  life.Pass(ground.clock, 6);  // nothing held it up: the worker is silent
  ASSERT_NE(life.WaitForState(kFirst, JobState::kRecovering), nullptr);
  life.KillWorkers();
}

}  // namespace
}  // namespace anamnesis::coordinator
