// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <limits>

namespace anamnesis::coordinator {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr core::JobId kAll{std::numeric_limits<int64_t>::max()};

JobSnapshot Made(int64_t id, core::JobState state = core::JobState::kQueued) {
  auto job = std::make_shared<core::Job>();
  job->id = core::JobId{id};
  job->state = state;
  return job;
}

std::vector<int64_t> Ids(const std::vector<JobSnapshot>& jobs) {
  std::vector<int64_t> ids;
  for (const JobSnapshot& job : jobs) ids.push_back(static_cast<int64_t>(job->id));
  return ids;
}

TEST(Board, FindsTheNewestSnapshotAndKeepsTheOldOneForItsReader) {
  Board board;
  board.Publish(Made(1));
  const JobSnapshot before = board.Find(core::JobId{1});
  board.Publish(Made(1, core::JobState::kRunning));
  EXPECT_EQ(before->state, core::JobState::kQueued);
  EXPECT_EQ(board.Find(core::JobId{1})->state, core::JobState::kRunning);
  EXPECT_EQ(board.Find(core::JobId{2}), nullptr);
}

TEST(Board, ListsPagesFromTheNewestDown) {
  Board board;
  for (int64_t id = 1; id <= 5; ++id) board.Publish(Made(id));
  EXPECT_THAT(Ids(board.List(kAll, 2, {})), ElementsAre(5, 4));
  EXPECT_THAT(Ids(board.List(core::JobId{4}, 2, {})), ElementsAre(3, 2));
  EXPECT_THAT(Ids(board.List(core::JobId{2}, 2, {})), ElementsAre(1));
  EXPECT_THAT(Ids(board.List(core::JobId{1}, 2, {})), IsEmpty());
  EXPECT_THAT(Ids(board.All()), ElementsAre(1, 2, 3, 4, 5));
}

TEST(Board, ListsOnlyTheStatesAskedForAndFillsThePageWithThem) {
  Board board;
  for (int64_t id = 1; id <= 6; ++id) {
    board.Publish(Made(id, id % 2 == 0 ? core::JobState::kRunning : core::JobState::kFailed));
  }
  EXPECT_THAT(Ids(board.List(kAll, 2, {core::JobState::kFailed})), ElementsAre(5, 3));
}

TEST(Board, SinceGivesEachChangedJobOnceInTheOrderOfItsLastChange) {
  Board board;
  for (const int64_t id : {1, 2, 1}) board.Publish(Made(id));
  const Board::Changes all = board.Since(0, milliseconds(0));
  EXPECT_THAT(Ids(all.jobs), ElementsAre(2, 1));
  EXPECT_THAT(board.Since(all.version, milliseconds(0)).jobs, IsEmpty());
  board.Publish(Made(2));
  EXPECT_THAT(Ids(board.Since(all.version, milliseconds(0)).jobs), ElementsAre(2));
}

TEST(Board, APublishWakesAReaderThatWaits) {
  Board board;
  auto waiting =
      std::async(std::launch::async, [&] { return board.Since(0, std::chrono::minutes(1)); });
  board.Publish(Made(7));
  EXPECT_THAT(Ids(waiting.get().jobs), ElementsAre(7));
}

TEST(Board, CloseWakesReadersForEverAfter) {
  Board board;
  auto waiting =
      std::async(std::launch::async, [&] { return board.Since(0, std::chrono::minutes(1)); });
  board.Close();
  EXPECT_THAT(waiting.get().jobs, IsEmpty());
  EXPECT_TRUE(board.closed());
  EXPECT_THAT(board.Since(0, std::chrono::minutes(1)).jobs, IsEmpty());
}

}  // namespace
}  // namespace anamnesis::coordinator
