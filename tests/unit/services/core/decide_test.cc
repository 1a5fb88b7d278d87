// SPDX-License-Identifier: Apache-2.0
// Corners of Decide, NextWake and Explain that no scenario reaches.
#include "tests/unit/services/core/picture.h"

namespace anamnesis::core {
namespace {

TEST(NextWake, IsInfiniteWhenNothingIsDue) {
  Picture picture(1);
  EXPECT_EQ(NextWake(picture.state, picture.now, picture.options), absl::InfiniteDuration());
  const JobId id = picture.Queued("a");
  EXPECT_EQ(NextWake(picture.state, picture.now, picture.options), absl::InfiniteDuration());
  picture.Do(Cancel{id, absl::ZeroDuration(), "user:ann"});
  EXPECT_EQ(NextWake(picture.state, picture.now, picture.options), absl::InfiniteDuration());
}

TEST(NextWake, DoesNotComeBackForARetryThatWaitsForSlots) {
  Picture picture(1);
  const JobId first = picture.Running("a");
  picture.Do(WorkerGone{first, 1, Reason::kWorkerLost, "killed"});
  picture.Running("b");
  picture.Tick(absl::Seconds(1));
  EXPECT_TRUE(Decide(picture.state, picture.now, picture.options).empty());
  EXPECT_EQ(NextWake(picture.state, picture.now, picture.options), absl::Seconds(5));  // b's lease
}

TEST(Decide, TriesAgainAtOnceWhenTheClockWasSetBack) {
  Picture picture(1);
  const JobId id = picture.Running("a");
  picture.Do(WorkerGone{id, 1, Reason::kWorkerLost, "killed"});
  picture.now.wall -= absl::Hours(24 * 365);
  const auto decisions = Decide(picture.state, picture.now, picture.options);
  ASSERT_EQ(decisions.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<Place>(decisions[0].what));
}

TEST(Decide, ForgetsJobsThatAreOver) {
  Picture picture(1);
  const JobId id = picture.Running("a");
  picture.Report(id, DoneReported{1, "digest", "/out"});
  EXPECT_EQ(picture.state.sessions.size(), 1u);  // its worker lives
  picture.Do(WorkerGone{id, 1, Reason::kWorkerLost, ""});
  EXPECT_TRUE(picture.state.sessions.empty());
  EXPECT_TRUE(picture.state.queue.empty());
  EXPECT_TRUE(picture.state.recovering.empty());
  EXPECT_TRUE(picture.state.by_output_dir.empty());
}

TEST(Restore, MakesWhatApplyKeeps) {
  Picture picture(4);
  Submit wish = picture.Wish("a");
  wish.request_id = "r1";
  picture.Do(wish);
  picture.Running("b");
  const JobId over = picture.Running("c");
  picture.Report(over, DoneReported{1, "digest", "/out"});
  picture.Do(Cancel{picture.Queued("d"), absl::ZeroDuration(), "user:ann"});
  std::vector<Job> jobs;
  for (const auto& [id, job] : picture.state.jobs) jobs.push_back(job);

  const State restored = Restore(jobs, 1, std::nullopt, picture.now);
  EXPECT_EQ(restored.next_job_id, picture.state.next_job_id);
  EXPECT_EQ(restored.by_request_id, picture.state.by_request_id);
  EXPECT_EQ(restored.by_output_dir, picture.state.by_output_dir);
  EXPECT_EQ(restored.queue, picture.state.queue);
  EXPECT_EQ(restored.recovering, picture.state.recovering);
  ASSERT_EQ(restored.sessions.size(), picture.state.sessions.size());
  for (const auto& [key, session] : restored.sessions) {
    EXPECT_EQ(picture.state.sessions.count(key), 1u);
    EXPECT_FALSE(session.attached);
    EXPECT_EQ(LeaseEnd(session, picture.options), picture.now.monotonic + picture.options.lease);
  }
}

TEST(Explain, PutsTimesInWords) {
  Picture picture(1);
  const JobId id = picture.Running("a");
  const struct {
    absl::Duration grace;
    const char* words;
  } rows[] = {{absl::Hours(3) + absl::Minutes(5), "3 h 5 min"},
              {absl::Hours(2), "2 h"},
              {absl::Seconds(250), "4 min 10 s"},
              {absl::Seconds(59), "59 s"},
              {absl::Milliseconds(1500), "2 s"},
              {absl::Milliseconds(20), "20 ms"}};
  for (const auto& row : rows) {
    picture.Do(Cancel{id, row.grace, "user:ann"});
    EXPECT_EQ(Explain(picture.state, id, picture.now, picture.options),
              Cat("saves and stops; is killed in ", row.words, " if not"));
  }
}

TEST(Explain, OfNoJobSaysSo) {
  Picture picture;
  EXPECT_EQ(Explain(picture.state, JobId{7}, picture.now, picture.options), "there is no jobs/7");
}

TEST(Decide, LooksAtNoJobThatWaitsForAnother) {
  Picture picture(1);
  const JobId first = picture.Running("first");
  for (int i = 0; i < 500; ++i) {
    Submit wish = picture.Wish(Cat("follower ", i));
    wish.spec.after = first;
    picture.Do(wish);
  }
  EXPECT_TRUE(picture.state.queue.empty());
  EXPECT_EQ(picture.state.followers.at(first).size(), 500u);
  picture.Report(first, DoneReported{1, "digest", "/out"});
  EXPECT_EQ(picture.state.queue.size(), 500u);
  EXPECT_TRUE(picture.state.followers.empty());
}

}  // namespace
}  // namespace anamnesis::core
