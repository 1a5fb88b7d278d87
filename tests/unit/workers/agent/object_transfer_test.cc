// SPDX-License-Identifier: Apache-2.0
// ObjectTransfer with a shell script in place of anamnesis-store: what it is told, and what is made
// of its end. The real program before a real server: tests/integration/service_s3_test.py.
#include "workers/agent/object_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <thread>

#include "common/io/file.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

StagedFolder Staged(const std::string& name, int64_t epoch) {
  return {.epoch = epoch, .output_directory = "/out", .name = name, .manifest_sha256 = "ab"};
}

TEST(OldFolders, GoOnceANewerOneIsCommitted) {
  EXPECT_THAT(OldFolders({"checkpoint-20.1", "checkpoint-40.1", "checkpoint-60.1"},
                         {"checkpoint-40", "checkpoint-60"}, Staged("checkpoint-60", 1)),
              ElementsAre("checkpoint-20.1"));
  EXPECT_THAT(OldFolders({"checkpoint-20.1", "checkpoint-40.2", "final_model.2"}, {"checkpoint-40"},
                         Staged("final_model", 2)),
              ElementsAre("checkpoint-20.1"));
}

TEST(OldFolders, AreThoseThatAnEarlierEpochPutAndNobodyCommitted) {
  EXPECT_THAT(OldFolders({"checkpoint-40.1", "checkpoint-40.2", "checkpoint-60.1", "final_model.1"},
                         {"checkpoint-40"}, Staged("checkpoint-40", 2)),
              ElementsAre("checkpoint-40.1", "checkpoint-60.1", "final_model.1"));
}

TEST(OldFolders, AreNotThoseThatWaitForAnAnswer) {
  EXPECT_THAT(OldFolders({"checkpoint-40.2", "checkpoint-60.2", "final_model.2"}, {"checkpoint-20"},
                         Staged("checkpoint-40", 2)),
              IsEmpty());
}

TEST(OldFolders, AreNotAnotherEpochsOrUnknownNames) {
  EXPECT_THAT(OldFolders({"checkpoint-20.3", "notes", "checkpoint-x.1", "checkpoint-20", "a.1", ""},
                         {}, Staged("checkpoint-40", 2)),
              IsEmpty());
}

class ObjectTransferTest : public ::testing::Test {
 protected:
  ObjectTransfer::Options OptionsWith(const std::string& script) {
    const std::string program = folder_.path() + "/store";
    EXPECT_TRUE(WriteFileDurably(program, "#!/bin/sh\n" + script).ok());
    ::chmod(program.c_str(), 0700);
    return {.program = program,
            .store = "s3://b/jobs/1",
            .log_path = folder_.path() + "/store.log",
            .first_pause = absl::Milliseconds(1),
            .longest_pause = absl::Milliseconds(2)};
  }
  std::string Read(const std::string& name) {
    return ReadFile(folder_.path() + "/" + name).value_or("");
  }

  const TemporaryFolder folder_;
};

TEST_F(ObjectTransferTest, SendsAFolderWithItsRecordAndNoToken) {
  ::setenv("ANAMNESIS_WORKER_TOKEN", "secret", 1);
  ObjectTransfer transfer(OptionsWith("cd $(dirname $0)\necho \"$@\" > said\nenv > environment\n"));
  const Status status = transfer.Put(Staged("checkpoint-20", 3));
  ::unsetenv("ANAMNESIS_WORKER_TOKEN");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Read("said"),
            "--with-parent put /out/.staging-3-checkpoint-20 s3://b/jobs/1/checkpoint-20.3 "
            "--record /out/.anamnesis/run.json\n");
  EXPECT_EQ(Read("environment").find("secret"), std::string::npos);
}

TEST_F(ObjectTransferTest, WaitsForAStoreThatIsAway) {
  ObjectTransfer transfer(
      OptionsWith("cd $(dirname $0)\necho x >> tries\n[ $(wc -l < tries) = 3 ] && exit 0\n"
                  "echo 'error: UNAVAILABLE: it is away' >&2\nexit 75\n"));
  EXPECT_TRUE(transfer.Put(Staged("checkpoint-20", 1)).ok());
  EXPECT_EQ(Read("tries"), "x\nx\nx\n");
}

TEST_F(ObjectTransferTest, HasAnEndToItsPatience) {
  auto options = OptionsWith("echo 'error: UNAVAILABLE: it is away' >&2\nexit 75\n");
  options.patience = absl::Milliseconds(20);
  EXPECT_EQ(ObjectTransfer(options).Put(Staged("checkpoint-20", 1)), Unavailable("it is away"));
}

TEST_F(ObjectTransferTest, DoesNotTryAgainWhatStaysWrong) {
  ObjectTransfer transfer(OptionsWith(
      "cd $(dirname $0)\necho x >> tries\necho 'error: PERMISSION_DENIED: no such key' >&2\n"
      "exit 4\n"));
  EXPECT_EQ(transfer.Put(Staged("checkpoint-20", 1)), PermissionDenied("no such key"));
  EXPECT_EQ(Read("tries"), "x\n");
}

TEST_F(ObjectTransferTest, IsCancelledWhileTheProgramWaits) {
  ObjectTransfer transfer(OptionsWith("exec sleep 600\n"));
  transfer.Cancel(true);
  EXPECT_EQ(transfer.Put(Staged("checkpoint-20", 1)).code(), absl::StatusCode::kCancelled);
}

TEST_F(ObjectTransferTest, RefusesAStoreThatHoldsAnothersCheckpoints) {
  ObjectTransfer transfer(OptionsWith("echo checkpoint-20.1\n"));
  v1::Grant grant;
  grant.set_epoch(1);
  const Status status = transfer.Get(grant, folder_.path() + "/out");
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(MessageOf(status), HasSubstr("prefix of its own"));
  grant.set_epoch(2);  // its own, which nobody has committed
  EXPECT_TRUE(transfer.Get(grant, folder_.path() + "/out").ok());
}

TEST_F(ObjectTransferTest, TakesNothingThatWasNotCommitted) {
  ObjectTransfer transfer(
      OptionsWith("mkdir \"$4\"\necho {} | tee \"$4/.run.json\" > \"$4/manifest.json\"\n"));
  v1::Grant grant;
  grant.set_epoch(2);
  grant.set_committed_step(20);
  grant.set_committed_epoch(1);
  grant.set_committed_sha256(std::string(64, 'a'));
  const Status status = transfer.Get(grant, folder_.path() + "/out");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(MessageOf(status), HasSubstr("s3://b/jobs/1/checkpoint-20.1: checkpoint-20: its "
                                           "manifest is not the one that was committed"));
  EXPECT_FALSE(PathExists(folder_.path() + "/out/checkpoint-20"));
}

}  // namespace
}  // namespace anamnesis::agent
