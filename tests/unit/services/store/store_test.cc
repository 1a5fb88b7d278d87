// SPDX-License-Identifier: Apache-2.0
#include "services/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "common/io/file.h"
#include "services/store/sqlite.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/services/store/store_support.h"

namespace anamnesis::store {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  StoreTest() { Reopen(); }
  void Reopen() {
    store_.reset();
    StatusOr<std::unique_ptr<Store>> store = Store::Open(path_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  // By hand, as a person would, with the store closed.
  void Execute(const char* sql) {
    store_.reset();
    ASSERT_TRUE(Database::Open(path_)->Execute(sql).ok());
  }
  void Put(const core::Job& job) { ASSERT_TRUE(store_->Write(Of(job)).ok()); }
  std::vector<core::Job> Jobs() { return store_->Load()->jobs; }
  void ExpectPrivateFiles() {
    const std::vector<std::string> names = *ListDirectory(folder_.path());
    EXPECT_THAT(names, ElementsAre("state.db", "state.db-shm", "state.db-wal"));
    for (const std::string& name : names) {
      struct stat file {};
      ASSERT_EQ(::stat(folder_.File(name).c_str(), &file), 0);
      EXPECT_EQ(file.st_mode & 0777, 0600u) << name;
    }
  }
  void PutPoint(int64_t step, std::map<std::string, double> values) {
    Batch batch;
    batch.points = {
        {core::JobId{1}, {.step = step, .epoch = 1, .time = At(step), .values = values}}};
    ASSERT_TRUE(store_->Write(batch).ok());
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.File("state.db");
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ANewStoreIsEmptyAndItsFilesArePrivate) {
  EXPECT_TRUE(Jobs().empty());
  EXPECT_EQ(store_->Load()->next_job_id, 1);
  Put(MakeJob(1));
  ExpectPrivateFiles();
}

TEST_F(StoreTest, AFileThatOthersMayReadIsMadePrivate) {
  store_.reset();
  ASSERT_EQ(::chmod(path_.c_str(), 0644), 0);
  Reopen();
  ExpectPrivateFiles();
}

TEST_F(StoreTest, AJobSurvivesAReopenWithEveryField) {
  Put(FullJob());
  Reopen();
  ASSERT_EQ(Jobs().size(), 1u);
  EXPECT_TRUE(Same(Jobs()[0], FullJob()));
}

TEST_F(StoreTest, AStoreOfVersion1IsBroughtUpToDate) {
  core::Job old = FullJob();
  // What version 1 did not have.
  old.spec.after.reset();
  old.wandb_folder.clear();
  old.evaluation.clear();
  old.data = {};
  old.progress.train_seconds = old.progress.evaluation_seconds = 0;
  for (core::Attempt& attempt : old.attempts) {
    attempt.nodes = 1;
    attempt.worker.handle.clear();
  }
  Put(old);
  core::Job another = old;
  another.id = core::JobId{18};
  another.request_id = "another";
  Put(another);
  Execute(
      "UPDATE jobs SET body = json_remove(body, '$.after', '$.wandb_folder', '$.evaluation',"
      " '$.data', '$.progress.train_seconds', '$.progress.evaluation_seconds');"
      "UPDATE jobs SET body = json_set(body, '$.attempts', (SELECT json_group_array("
      "json_remove(json(value), '$.nodes', '$.worker.handle')) FROM json_each(body, "
      "'$.attempts')));"
      "DROP TABLE cordon;"
      "PRAGMA user_version = 1");
  for (int i = 0; i < 2; ++i) {
    Reopen();
    ASSERT_EQ(Jobs().size(), 2u);
    EXPECT_TRUE(Same(Jobs()[0], old));
    EXPECT_TRUE(Same(Jobs()[1], another));
  }
  Put(FullJob());
  Execute("PRAGMA user_version = 0");
  EXPECT_THAT(MessageOf(Store::Open(path_).status()), HasSubstr("version 0, expected 1 to 5"));
  Execute("PRAGMA user_version = 99");
  EXPECT_EQ(Store::Open(path_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(StoreTest, ACordonStaysUntilItIsTakenAway) {
  std::optional<core::Cordon> cordon = core::Cordon{.drains = true,
                                                    .actor = "user:ann",
                                                    .message = "new GPU",
                                                    .time = absl::FromUnixSeconds(1'790'000'000)};
  Batch batch;
  batch.cordon = &cordon;
  for (const auto& expected : {cordon, std::optional<core::Cordon>()}) {
    cordon = expected;
    ASSERT_TRUE(store_->Write(batch).ok());
    Reopen();
    const StatusOr<Loaded> loaded = store_->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->cordon, expected);
  }
}

TEST_F(StoreTest, ARewriteChangesTheJobAndNotItsSpec) {
  Put(FullJob());
  core::Job job = FullJob();
  job.state = core::JobState::kFailed;
  job.attempts.clear();
  job.spec.priority = 5;
  job.resolved.notes.push_back("more");
  core::Job written = job;
  written.spec.config_yaml = "not looked at";
  Put(written);
  Reopen();
  EXPECT_TRUE(Same(Jobs()[0], job));
}

TEST_F(StoreTest, TransitionsComeInOrderOfWritingAndByJob) {
  const core::Job one = MakeJob(1), two = MakeJob(2);
  Batch batch = Of(one);
  batch.jobs[two.id] = &two;
  batch.transitions = {
      {one.id, MakeTransition(2)}, {two.id, MakeTransition(9)}, {one.id, MakeTransition(1)}};
  ASSERT_TRUE(store_->Write(batch).ok());
  Batch later;
  later.transitions = {{one.id, MakeTransition(3)}};
  ASSERT_TRUE(store_->Write(later).ok());
  Reopen();
  EXPECT_TRUE(Same(*store_->Transitions(one.id),
                   {MakeTransition(2), MakeTransition(1), MakeTransition(3)}));
  EXPECT_TRUE(Same(*store_->Transitions(two.id), {MakeTransition(9)}));
  EXPECT_TRUE(store_->Transitions(core::JobId{3})->empty());
}

TEST_F(StoreTest, CheckpointsAreReplacedByStepAndEpochAndComeNewestFirst) {
  const core::Job job = MakeJob(1);
  Batch batch = Of(job);
  core::Checkpoint again = MakeCheckpoint(10, 1);
  again.sha256 = "other";
  for (const core::Checkpoint& checkpoint :
       {MakeCheckpoint(10, 1), MakeCheckpoint(20, 1), MakeCheckpoint(20, 2), again}) {
    batch.checkpoints.emplace_back(job.id, checkpoint);
  }
  ASSERT_TRUE(store_->Write(batch).ok());
  Reopen();
  EXPECT_TRUE(
      Same(*store_->Checkpoints(job.id), {MakeCheckpoint(20, 2), MakeCheckpoint(20, 1), again}));
}

TEST_F(StoreTest, AFollowerOfPointsSeesEachOnceAndAMergedOneAgain) {
  Put(MakeJob(1));
  int64_t cursor = 0;
  PutPoint(1, {{"loss", 2.5}});
  PutPoint(2, {{"loss", std::nan("")}, {"grad_norm", 1}});
  ASSERT_EQ(store_->Points(core::JobId{1}, cursor, 100, &cursor)->size(), 2u);
  EXPECT_TRUE(store_->Points(core::JobId{1}, cursor, 100, &cursor)->empty());
  PutPoint(2, {{"tuning_loss", 0.1}, {"grad_norm", 3}});
  PutPoint(3, {{"loss", 1}});
  Reopen();
  const auto points = *store_->Points(core::JobId{1}, cursor, 100, &cursor);
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].step, 2);
  EXPECT_TRUE(Same(points[0].time, At(2)));
  EXPECT_EQ(points[0].values.size(), 3u);
  EXPECT_TRUE(std::isnan(points[0].values.at("loss")));
  EXPECT_EQ(points[0].values.at("tuning_loss"), 0.1);
  EXPECT_EQ(points[0].values.at("grad_norm"), 3);
  EXPECT_EQ(points[1].step, 3);
  cursor = 0;
  EXPECT_EQ(store_->Points(core::JobId{1}, cursor, 100, &cursor)->size(), 3u);
}

TEST_F(StoreTest, PointsComeInPages) {
  Put(MakeJob(1));
  for (int64_t step = 1; step <= 7; ++step) PutPoint(step, {{"loss", 1}});
  std::vector<int64_t> steps;
  int64_t cursor = 0;
  for (size_t size : {3u, 3u, 1u, 0u}) {
    const auto page = *store_->Points(core::JobId{1}, cursor, 3, &cursor);
    EXPECT_EQ(page.size(), size);
    for (const MetricPoint& point : page) steps.push_back(point.step);
  }
  EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

TEST_F(StoreTest, IdsAreNotUsedAgainWhenTheLastJobIsDeleted) {
  Put(MakeJob(1));
  Put(MakeJob(5));
  Execute("PRAGMA foreign_keys = ON; DELETE FROM jobs WHERE id = 5");
  Reopen();
  EXPECT_EQ(Jobs().size(), 1u);
  EXPECT_EQ(store_->Load()->next_job_id, 6);
}

TEST_F(StoreTest, TwoJobsMayHaveNoRequestIdButNotTheSame) {
  core::Job one = MakeJob(1), two = MakeJob(2);
  one.request_id = two.request_id = "";
  Batch both = Of(one);
  both.jobs[two.id] = &two;
  ASSERT_TRUE(store_->Write(both).ok());
  one.request_id = two.request_id = "same";
  const Status status = store_->Write(both);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_EQ(Jobs()[0].request_id, "");  // nothing of the batch is there
  Put(one);
}

TEST_F(StoreTest, ARowOfNoJobIsRefusedWithTheWholeBatch) {
  const core::Job job = MakeJob(1);
  Batch batch = Of(job);
  batch.points = {{core::JobId{2}, MetricPoint()}};
  EXPECT_EQ(store_->Write(batch).code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Jobs().empty());
}

TEST_F(StoreTest, AReaderBesideTheWriterSeesWholeBatches) {
  const core::Job job = MakeJob(1);
  Put(job);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    Batch batch = Of(job);
    for (int64_t i = 0; i < 7; ++i) batch.transitions.emplace_back(job.id, MakeTransition(i));
    for (int round = 0; round < 60; ++round) EXPECT_TRUE(store_->Write(batch).ok());
    done = true;
  });
  size_t before = 0;
  while (!done) {
    const StatusOr<std::vector<core::Transition>> seen = store_->Transitions(job.id);
    EXPECT_TRUE(seen.ok()) << seen.status();
    if (!seen.ok()) break;
    EXPECT_EQ(seen->size() % 7, 0u);
    EXPECT_GE(seen->size(), before);
    before = seen->size();
  }
  writer.join();
  EXPECT_EQ(store_->Transitions(job.id)->size(), 420u);
}

TEST_F(StoreTest, LoadNamesTheFileTheJobAndTheKeyThatCannotBeRead) {
  Put(FullJob());
  for (const auto& [damage, expected, repair] :
       {std::tuple{"UPDATE jobs SET body = json_set(body, '$.state', 'asleep')",
                   "jobs/17: key 'state' has an unknown name",
                   "UPDATE jobs SET body = json_set(body, '$.state', 'queued')"},
        std::tuple{"UPDATE jobs SET body = json_set(body, '$.id', 18)", "jobs/17: key 'id' is 18",
                   "UPDATE jobs SET body = json_set(body, '$.id', 17)"},
        std::tuple{"UPDATE meta SET value = 17", "next_job_id 17, expected above 17",
                   "UPDATE meta SET value = 18"},
        std::tuple{"DELETE FROM job_specs", "jobs/17: has no row in job_specs", ""}}) {
    Execute(damage);
    Reopen();
    const Status status = store_->Load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(status), AllOf(HasSubstr(path_), HasSubstr(expected)));
    Execute(repair);
  }
}

TEST_F(StoreTest, PeopleCanQueryTheColumnsOfJobs) {
  Put(FullJob());
  store_.reset();
  EXPECT_EQ(*Database::Open(path_)->QueryText(
                "SELECT state || ' ' || request_id || ' ' || output_dir || ' ' || project || ' ' ||"
                " create_time_us FROM jobs"),
            "recovering request-17 /out p 1790000017123457");
}

}  // namespace
}  // namespace anamnesis::store
