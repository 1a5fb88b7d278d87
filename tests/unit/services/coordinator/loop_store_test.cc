// SPDX-License-Identifier: Apache-2.0
// The loop when its store fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/services/coordinator/running_loop.h"
#include "tests/unit/services/store/faulty_disk.h"

namespace anamnesis::coordinator {
namespace {

TEST(LoopStore, AFullDiskRefusesTheSubmissionAndLeavesNothingOfIt) {
  store::FaultyDisk disk;
  Ground ground;
  RunningLoop life(ground);
  disk.FailOnce(1, SQLITE_FULL);
  life.Start();
  EXPECT_EQ(life.Submit("a").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(disk.failed());
  EXPECT_TRUE(life.board().All().empty());
  life.Look([](const core::State* state) {
    EXPECT_TRUE(state->jobs.empty());
    EXPECT_EQ(state->next_job_id, 1);
    EXPECT_TRUE(state->by_request_id.empty());
  });
  const auto again = life.Submit("a");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->created);
  EXPECT_EQ(again->job->id, kFirst);
  life.KillWorkers();
}

// A worker takes some codes for final; none of the store's is an answer to what it asked.
TEST(LoopStore, AnyOtherFailureOfTheStoreIsUnavailableToThoseWhoAsked) {
  for (const int code : {SQLITE_READONLY, SQLITE_PERM, SQLITE_IOERR_WRITE}) {
    store::FaultyDisk disk;
    Ground ground;
    RunningLoop life(ground);
    disk.FailOnce(1, code);
    life.Start();
    EXPECT_EQ(life.Submit().status().code(), absl::StatusCode::kUnavailable) << code;
    EXPECT_TRUE(disk.failed());
  }
}

// The refusal rests on what the same turn took back.
TEST(LoopStore, ARefusalOfATurnThatFailedIsNotFinal) {
  store::FaultyDisk disk;
  Ground ground;
  RunningLoop life(ground);
  std::promise<absl::StatusCode> second;
  life.loop().Post(RunningLoop::MakeSubmit("a"));
  core::Submit same_folder = RunningLoop::MakeSubmit("a");
  same_folder.request_id = "b";
  life.loop().Post(same_folder,
                   [&](const auto& applied) { second.set_value(applied.status().code()); });
  disk.FailOnce(1, SQLITE_FULL);
  life.Start();
  EXPECT_EQ(second.get_future().get(), absl::StatusCode::kResourceExhausted);
}

TEST(LoopStore, ALaunchThatCouldNotBeRecordedIsRecordedLater) {
  store::FaultyDisk disk;
  Ground ground;
  RunningLoop life(ground);
  life.Start();
  // The launch is told in the turn after the reply.
  ASSERT_TRUE(
      life.Do(RunningLoop::MakeSubmit(), [&](const auto&) { disk.FailOnce(1, SQLITE_FULL); }).ok());
  const JobSnapshot job = life.WaitForWorker(kFirst);
  ASSERT_NE(job, nullptr);
  EXPECT_TRUE(disk.failed());
  EXPECT_EQ(job->attempts.size(), 1u);
  EXPECT_TRUE(life.launcher().Watches(kFirst));
  life.KillWorkers();
}

}  // namespace
}  // namespace anamnesis::coordinator
