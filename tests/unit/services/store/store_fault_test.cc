// SPDX-License-Identifier: Apache-2.0
// What is left after a crash, on a full or failing disk, and of a damaged file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/io/file.h"
#include "services/store/sqlite.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/services/store/faulty_disk.h"
#include "tests/unit/services/store/store_support.h"

namespace anamnesis::store {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<Store> OpenOk(const std::string& path) {
  StatusOr<std::unique_ptr<Store>> store = Store::Open(path);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

std::vector<int64_t> IdsIn(Store& store) {
  std::vector<int64_t> ids;
  const StatusOr<Loaded> loaded = store.Load();
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  if (!loaded.ok()) return ids;
  for (const core::Job& job : loaded->jobs) ids.push_back(static_cast<int64_t>(job.id));
  return ids;
}

Status Put(Store& store, int64_t id, size_t yaml_bytes = 100) {
  core::Job job = MakeJob(id);
  job.spec.config_yaml = std::string(yaml_bytes, 'S');
  Batch batch = Of(job);
  batch.transitions = {{job.id, MakeTransition(0)}};
  batch.points = {{job.id, {.step = id, .epoch = 1, .time = At(0), .values = {{"loss", 1}}}}};
  return store.Write(batch);
}

// --- a crash

// Stores jobs for ever, and says each id once it is acknowledged.
[[noreturn]] void WriteUntilKilled(const std::string& path, int acknowledged_fd) {
  const StatusOr<std::unique_ptr<Store>> store = Store::Open(path);
  if (!store.ok()) ::_exit(1);
  for (int64_t id = (*store)->Load()->next_job_id;; ++id) {
    if (!Put(**store, id).ok()) ::_exit(2);
    if (::write(acknowledged_fd, &id, sizeof id) != sizeof id) ::_exit(3);
  }
}

TEST(StoreFault, AKilledWriterLosesNothingThatWasAcknowledged) {
  const TemporaryFolder folder;
  const std::string path = folder.File("state.db");
  int64_t last = 0;
  for (const int64_t enough : {1, 20, 60, 21}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) WriteUntilKilled(path, ends[1]);
    ::close(ends[1]);
    const FileDescriptor acknowledged(ends[0]);
    const int64_t first = last + 1;
    int64_t id = 0;
    while (::read(acknowledged.get(), &id, sizeof id) == sizeof id) {
      last = id;
      if (id == first + enough) ::kill(child, SIGKILL);
    }
    int ended = 0;
    ASSERT_EQ(::waitpid(child, &ended, 0), child);
    ASSERT_TRUE(WIFSIGNALED(ended)) << ended;
    const std::unique_ptr<Store> store = OpenOk(path);
    ASSERT_NE(store, nullptr);
    const std::vector<int64_t> ids = IdsIn(*store);
    ASSERT_GE(static_cast<int64_t>(ids.size()), last);
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(ids[i], static_cast<int64_t>(i + 1));
      EXPECT_EQ(store->Transitions(core::JobId{ids[i]})->size(), 1u);
    }
    last = ids.back();
  }
}

TEST(StoreFault, EveryAcknowledgedWriteWasFlushed) {
  FaultyDisk disk;
  const TemporaryFolder folder;
  const std::unique_ptr<Store> store = OpenOk(folder.File("state.db"));
  ASSERT_NE(store, nullptr);
  for (int64_t id = 1; id <= 10; ++id) {
    const int before = disk.num_wal_flushes();
    ASSERT_TRUE(Put(*store, id).ok());
    EXPECT_GT(disk.num_wal_flushes(), before);
  }
}

// --- a disk that fails

class FailingDisk : public testing::TestWithParam<int> {};

TEST_P(FailingDisk, AtAnyCallLeavesNothingOfTheBatchAndTheStoreUsable) {
  FaultyDisk disk;
  const TemporaryFolder folder;
  const std::string path = folder.File("state.db");
  std::unique_ptr<Store> store = OpenOk(path);
  ASSERT_NE(store, nullptr);
  std::vector<int64_t> expected;
  int64_t id = 0;
  for (int call = 1;; ++call) {
    ASSERT_LT(call, 100);
    disk.FailOnce(call, GetParam());
    const Status status = Put(*store, ++id, 5000);
    if (!disk.failed()) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_GT(call, 5);
      break;
    }
    EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(MessageOf(status), AllOf(HasSubstr(path), Not(HasSubstr("SSS"))));
    EXPECT_EQ(IdsIn(*store), expected);
    ASSERT_TRUE(Put(*store, ++id).ok());
    expected.push_back(id);
    EXPECT_EQ(IdsIn(*store), expected);
    if (call % 4 == 0) {
      store.reset();
      store = OpenOk(path);
      ASSERT_NE(store, nullptr);
      EXPECT_EQ(IdsIn(*store), expected);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Store, FailingDisk, testing::Values(SQLITE_FULL, SQLITE_IOERR_WRITE));

TEST(StoreFault, AFailedCopyOfTheWalIntoTheDatabaseCostsNothing) {
  FaultyDisk disk;
  const TemporaryFolder folder;
  const std::string path = folder.File("state.db");
  {
    const std::unique_ptr<Store> store = OpenOk(path);
    disk.FailWritesOfDatabase(true);
    EXPECT_TRUE(Put(*store, 1, 5 << 20).ok());
    EXPECT_TRUE(Put(*store, 2, 5 << 20).ok());
    EXPECT_EQ(IdsIn(*store), (std::vector<int64_t>{1, 2}));
  }
  disk.FailWritesOfDatabase(false);
  EXPECT_EQ(IdsIn(*OpenOk(path)), (std::vector<int64_t>{1, 2}));
}

TEST(StoreFault, AFullDiskIsSaidAndNothingIsLost) {
  const TemporaryFolder folder;
  const std::string path = folder.File("state.db");
  std::unique_ptr<Store> store = OpenOk(path);
  ASSERT_TRUE(Put(*store, 1).ok());
  {
    const FileSizeLimit limit(1 << 20);
    const Status status = Put(*store, 2, 2 << 20);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(MessageOf(status), AllOf(HasSubstr(path), HasSubstr("the disk is full")));
    EXPECT_EQ(IdsIn(*store), (std::vector<int64_t>{1}));
    EXPECT_TRUE(Put(*store, 3).ok());  // a small one still fits
  }
  EXPECT_TRUE(Put(*store, 4, 2 << 20).ok());
  store.reset();
  EXPECT_EQ(IdsIn(*OpenOk(path)), (std::vector<int64_t>{1, 3, 4}));
}

TEST(StoreFault, AnotherProcessThatWritesMakesAWriteFailAndNotHang) {
  const TemporaryFolder folder;
  const std::unique_ptr<Store> store = OpenOk(folder.File("state.db"));
  Database other = *Database::Open(folder.File("state.db"));
  ASSERT_TRUE(other.Execute("BEGIN IMMEDIATE").ok());
  EXPECT_EQ(Put(*store, 1).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(other.Execute("ROLLBACK").ok());
  EXPECT_TRUE(Put(*store, 1).ok());
}

// --- a damaged file

class DamagedFile : public testing::Test {
 protected:
  DamagedFile() {
    const std::unique_ptr<Store> store = OpenOk(path_);
    for (int64_t id = 1; id <= 40; ++id) EXPECT_TRUE(Put(*store, id, 3000).ok());
  }
  void Overwrite(size_t offset, const std::string& bytes) {
    std::string content = *ReadFile(path_);
    content.replace(offset, bytes.size(), bytes);
    folder_.Write("state.db", content);
  }
  void ExpectRefused(absl::StatusCode code, const std::string& text) {
    const std::string before = *ReadFile(path_);
    const Status status = Store::Open(path_).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(MessageOf(status), AllOf(HasSubstr(path_), HasSubstr(text)));
    EXPECT_EQ(*ReadFile(path_), before);
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.File("state.db");
};

TEST_F(DamagedFile, WithAnotherHeaderIsDataLoss) {
  Overwrite(0, "garbage!");
  ExpectRefused(absl::StatusCode::kDataLoss, "put back a copy");
}

TEST_F(DamagedFile, WithAFlippedByteInTheFirstPageIsDataLoss) {
  Overwrite(16, "\x03");  // the page size
  ExpectRefused(absl::StatusCode::kDataLoss, "put back a copy");
}

TEST_F(DamagedFile, WithAPageOfOtherBytesIsDataLoss) {
  Overwrite(4096 * 3, std::string(4096, 'x'));
  ExpectRefused(absl::StatusCode::kDataLoss, "damaged");
}

TEST_F(DamagedFile, CutAnywhereIsDataLoss) {
  const std::string whole = *ReadFile(path_);
  for (const size_t size_bytes :
       {0UL, 1UL, 99UL, 100UL, 4095UL, 4096UL, 8192UL, 20000UL, whole.size() / 4096 / 2 * 4096,
        whole.size() - 4096, whole.size() - 1}) {
    SCOPED_TRACE(size_bytes);
    folder_.Write("state.db", whole.substr(0, size_bytes));
    ExpectRefused(absl::StatusCode::kDataLoss, "put back a copy");
  }
  folder_.Write("state.db", whole);
  EXPECT_EQ(IdsIn(*OpenOk(path_)).size(), 40u);
}

TEST_F(DamagedFile, OfANewerVersionIsRefusedWithAdvice) {
  ASSERT_TRUE(Database::Open(path_)->Execute("PRAGMA user_version = 1000").ok());
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "use the release of anamnesis");
}

TEST_F(DamagedFile, OfAnotherProgramIsRefused) {
  ASSERT_TRUE(Database::Open(path_)->Execute("PRAGMA application_id = 7").ok());
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "belongs to another program");
}

TEST_F(DamagedFile, WithoutATableIsDataLoss) {
  ASSERT_TRUE(Database::Open(path_)->Execute("DROP TABLE points").ok());
  ExpectRefused(absl::StatusCode::kDataLoss, "its tables are damaged");
}

TEST_F(DamagedFile, AWalWithoutItsDatabaseIsNotTakenForANewOne) {
  std::filesystem::rename(path_, path_ + "-wal");
  EXPECT_EQ(Store::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST(StoreFault, ALeftOverOfAnInterruptedFirstStartIsReplaced) {
  const TemporaryFolder folder;
  folder.Write("state.db.new", "half");
  folder.Write("state.db.new-journal", "half");
  EXPECT_TRUE(IdsIn(*OpenOk(folder.File("state.db"))).empty());
  EXPECT_FALSE(PathExists(folder.File("state.db.new")));
  EXPECT_FALSE(PathExists(folder.File("state.db.new-journal")));
}

TEST(StoreFault, AMissingFolderIsNotFoundAndAFolderIsNoFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(Store::Open(folder.File("no/state.db")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Store::Open(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace anamnesis::store
