// SPDX-License-Identifier: Apache-2.0
// What Apply hands to the store and to watchers; the scenarios show the rest.
#include "tests/unit/services/core/picture.h"

namespace anamnesis::core {
namespace {

TEST(Submit, IsTakenOnceForOneRequestId) {
  Picture picture;
  Submit wish = picture.Wish("a");
  wish.request_id = "r1";
  const Outcome first = picture.Do(wish);
  EXPECT_TRUE(first.created);
  EXPECT_TRUE(first.changed);
  ASSERT_EQ(first.transitions.size(), 1u);
  EXPECT_EQ(first.transitions[0].reason, Reason::kSubmitted);
  EXPECT_EQ(first.transitions[0].actor, "user:ann");

  const Outcome second = picture.Do(wish);
  EXPECT_EQ(second.job, first.job);
  EXPECT_FALSE(second.created);
  EXPECT_FALSE(second.changed);
  EXPECT_TRUE(second.transitions.empty());
  EXPECT_EQ(picture.state.jobs.size(), 1u);
}

TEST(Submit, RefusesAnotherSpecUnderTheSameRequestId) {
  Picture picture;
  Submit wish = picture.Wish("a");
  wish.request_id = "r1";
  picture.Do(wish);
  wish.spec.priority = 1;
  EXPECT_EQ(picture.Try(wish).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(picture.state.next_job_id, 2);
}

TEST(Submit, RefusedLeavesNothingBehind) {
  Picture picture(1);
  picture.Queued("a");
  EXPECT_EQ(picture.Try(picture.Wish("a")).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(picture.Try(picture.Wish("b", 2)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(picture.Queued("c"), JobId{2});
}

TEST(Outcome, SaysWhetherTheJobIsToBeStored) {
  Picture picture;
  const JobId id = picture.Running("a");
  const std::string token = picture.job(id).attempts[0].token;
  EXPECT_FALSE(picture.Do(Heard{id, 1}).changed);
  EXPECT_FALSE(picture.Do(Detached{id, 1}).changed);
  EXPECT_FALSE(picture.Do(Attached{id, 1, token, false, "here", 1}).changed);
  EXPECT_TRUE(picture.Do(Attached{id, 1, token, true, "here", 1}).changed);
  const Outcome step = picture.Step(id, 2);
  EXPECT_TRUE(step.changed);
  EXPECT_TRUE(step.new_report);
  EXPECT_FALSE(picture.Do(Park{}).job.has_value());
}

TEST(Reported, TwiceCountsOnce) {
  Picture picture;
  const JobId id = picture.Running("a");
  StepReported report;
  report.step = 1;
  const int64_t sequence = picture.job(id).acknowledged_sequence;
  const Outcome again = picture.Do(Reported{id, 1, sequence, picture.now.wall, report});
  EXPECT_FALSE(again.new_report);
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(picture.job(id).steps_executed, 1);
}

TEST(Reported, StartedKnowsOfStepsWhoseReportsWereLost) {
  Picture picture;
  const JobId id = picture.Running("a");
  StartedReported started;
  started.steps_executed_before = 7;
  picture.Report(id, started);
  EXPECT_EQ(picture.job(id).steps_executed, 7);
  started.steps_executed_before = 3;  // what was counted here stays
  picture.Report(id, started);
  EXPECT_EQ(picture.job(id).steps_executed, 7);
}

TEST(Reported, MustNotLeaveOutANumber) {
  Picture picture;
  const JobId id = picture.Running("a");
  const int64_t sequence = picture.job(id).acknowledged_sequence + 2;
  EXPECT_EQ(
      picture.Try(Reported{id, 1, sequence, picture.now.wall, SavedReported{}}).status().code(),
      absl::StatusCode::kFailedPrecondition);
}

TEST(LeaseExpired, IsRefusedWhileTheLeaseLasts) {
  Picture picture;
  const JobId id = picture.Running("a");
  picture.Tick(picture.options.lease - absl::Milliseconds(1));
  EXPECT_EQ(picture.Try(LeaseExpired{id, 1}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  picture.Tick(absl::Milliseconds(1));
  EXPECT_EQ(picture.Do(LeaseExpired{id, 1}).transitions.size(), 1u);
}

TEST(Commit, IsHandedOutOnce) {
  Picture picture;
  const JobId id = picture.Running("a");
  const Commit commit{id, 1, {5, 99, "/out/a/checkpoint-5", "digest", {}}};
  const Outcome first = picture.Do(commit);
  ASSERT_TRUE(first.checkpoint.has_value());
  EXPECT_EQ(first.checkpoint->epoch, 1);  // the event's, whatever the checkpoint says
  EXPECT_EQ(first.checkpoint->commit_time, picture.now.wall);
  const Outcome again = picture.Do(commit);
  EXPECT_FALSE(again.checkpoint.has_value());
  EXPECT_FALSE(again.changed);
}

TEST(Commit, OfTheFinalModelIsFencedAndLeavesNoCheckpoint) {
  Picture picture;
  const JobId id = picture.Running("a");
  Commit commit{id, 1, {}, "final_model"};
  EXPECT_FALSE(picture.Do(commit).checkpoint.has_value());
  EXPECT_FALSE(picture.job(id).latest_checkpoint.has_value());
  commit.epoch = 2;
  EXPECT_TRUE(IsStaleEpoch(picture.Try(commit).status()));
  commit.epoch = 1;
  picture.Tick(picture.options.lease);
  EXPECT_EQ(picture.Try(commit).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Stamps, AreThoseOfTheEvents) {
  Picture picture;
  const absl::Time begin = picture.now.wall;
  const JobId id = picture.Queued("a");
  picture.Tick(absl::Seconds(1));
  picture.Do(Assign{id, {0}, "token", false});
  picture.Tick(absl::Seconds(1));
  picture.Do(WorkerGone{id, 1, Reason::kWorkerLost, "killed"});
  picture.Tick(absl::Seconds(1));
  picture.Do(Assign{id, {1}, "another token", false});
  const Job& job = picture.job(id);
  EXPECT_EQ(job.create_time, begin);
  EXPECT_EQ(job.start_time, begin + absl::Seconds(1));  // of the first attempt
  EXPECT_EQ(job.update_time, begin + absl::Seconds(3));
  EXPECT_EQ(job.attempts[0].end_time, begin + absl::Seconds(2));
  EXPECT_FALSE(job.end_time.has_value());
  picture.Do(LaunchFailed{id, 2, "?"});
  picture.Do(Cancel{id, absl::ZeroDuration(), "user:ann"});
  EXPECT_EQ(job.end_time, begin + absl::Seconds(3));
}

TEST(Assign, RefusesSlotsThatAreNotFree) {
  Picture picture(3);
  picture.Running("a");
  const JobId id = picture.Queued("b", 2);
  for (const std::vector<int64_t>& slots :
       std::vector<std::vector<int64_t>>{{0, 1}, {1}, {1, 1}, {2, 3}, {-1, 1}, {}}) {
    EXPECT_EQ(picture.Try(Assign{id, slots, "t", false}).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(picture.Try(Assign{id, {1, 2}, "", false}).status().code(),
            absl::StatusCode::kInvalidArgument);
  picture.Do(Assign{id, {2, 1}, "t", false});
  EXPECT_EQ(picture.job(id).attempts[0].slots, (std::vector<int64_t>{1, 2}));
}

TEST(Assign, WaitsForTheEndOfTheFormerWorker) {
  Picture picture;
  const JobId id = picture.Running("a");
  picture.Report(id, StoppedReported{1, true});
  EXPECT_EQ(picture.Try(Assign{id, {1}, "another token", false}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(picture.Try(Assign{id, {0}, "", true}).status().code(),
            absl::StatusCode::kFailedPrecondition);  // it has stopped, it is not kept
  picture.Do(WorkerGone{id, 1, Reason::kWorkerLost, ""});
  picture.Do(Assign{id, {1}, "another token", false});
}

TEST(Assign, GivesTheKeptWorkerAllThatItHad) {
  Picture picture;
  const JobId id = picture.Running("a", 2);
  const int64_t sequence = picture.job(id).acknowledged_sequence;
  picture.Report(id, FailedReported{Reason::kRankFailed, "rank 1 was killed", 1});
  picture.Do(Assign{id, {}, "ignored", true});
  const Attempt &kept = picture.job(id).attempts[0], &next = picture.job(id).attempts[1];
  EXPECT_FALSE(kept.holds_slots);
  EXPECT_TRUE(next.holds_slots);
  EXPECT_EQ(next.slots, kept.slots);
  EXPECT_EQ(next.token, kept.token);
  EXPECT_EQ(next.worker, kept.worker);
  EXPECT_EQ(picture.job(id).acknowledged_sequence, sequence + 1);
  EXPECT_TRUE(FreeSlots(picture.state, picture.options).empty());
}

TEST(Assign, OfANewWorkerBeginsTheNumberingAnew) {
  Picture picture;
  const JobId id = picture.Running("a");
  picture.Do(WorkerGone{id, 1, Reason::kWorkerLost, "killed"});
  EXPECT_GT(picture.job(id).acknowledged_sequence, 0);
  picture.Do(Assign{id, {0}, "another token", false});
  EXPECT_EQ(picture.job(id).acknowledged_sequence, 0);
}

TEST(StaleEpoch, IsKnownByItsPayload) {
  EXPECT_TRUE(IsStaleEpoch(StaleEpoch(1, 2)));
  EXPECT_EQ(StaleEpoch(1, 2).code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(IsStaleEpoch(Aborted("epoch 1 is over")));
  EXPECT_FALSE(IsStaleEpoch(absl::OkStatus()));
}

}  // namespace
}  // namespace anamnesis::core
