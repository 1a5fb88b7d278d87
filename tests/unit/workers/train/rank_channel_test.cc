// SPDX-License-Identifier: Apache-2.0
#include "workers/train/rank_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <future>

#include "workers/contract/channel.h"

namespace anamnesis::train {
namespace {

using std::chrono::milliseconds;

class RankChannelTest : public testing::Test {
 protected:
  RankChannelTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    worker_ = FileDescriptor(ends[0]);
    rank_end_ = ends[1];
  }
  Json Read() { return contract::ReadFrame(worker_.get()).value(); }
  void Write(const Json& message) {
    ASSERT_TRUE(contract::WriteFrame(worker_.get(), message).ok());
  }

  FileDescriptor worker_;
  int rank_end_ = -1;
};

TEST_F(RankChannelTest, SendsReportsWithTheirKind) {
  RankChannel channel(rank_end_, false);
  ASSERT_TRUE(channel.Report("step", {{"step", 3}}).ok());
  EXPECT_EQ(Read(), (Json{{"kind", "step"}, {"step", 3}}));
}

TEST_F(RankChannelTest, CarriesAnyBytesThroughTheStore) {
  RankChannel channel(rank_end_, false);
  const std::string value("\0\xff a", 4);
  ASSERT_TRUE(channel.Set("key", value).ok());
  const Json set = Read();
  EXPECT_EQ(set["value"], "00ff2061");
  auto got = std::async(std::launch::async, [&] { return channel.Get("key", milliseconds(5000)); });
  const Json get = Read();
  EXPECT_EQ(get["kind"], "store_get");
  Write({{"kind", "store_reply"}, {"id", get["id"]}, {"ok", true}, {"value", set["value"]}});
  EXPECT_EQ(got.get().value(), value);
}

TEST_F(RankChannelTest, TellsARefusedCommitWithItsReason) {
  RankChannel channel(rank_end_, false);
  ASSERT_TRUE(channel.StartCommit(7, "checkpoint-7", "ab").ok());
  const Json asked = Read();
  EXPECT_EQ(asked["step"], 7);
  EXPECT_EQ(asked["name"], "checkpoint-7");
  EXPECT_FALSE(channel.CommitAnswer(7, milliseconds(0)).has_value());
  Write({{"kind", "commit_reply"}, {"step", 7}, {"granted", false}, {"reason", "stale epoch"}});
  const Status status = channel.CommitAnswer(7, milliseconds(60000)).value();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(status).find("stale epoch"), std::string::npos);
}

TEST_F(RankChannelTest, LearnsThatItMustStop) {
  RankChannel channel(rank_end_, false);
  EXPECT_FALSE(channel.stop_requested());
  ASSERT_TRUE(channel.StartCommit(1, "checkpoint-1", "").ok());
  Read();
  Write({{"kind", "stop"}, {"grace_ms", 1000}});
  Write({{"kind", "commit_reply"}, {"step", 1}, {"granted", true}, {"reason", ""}});
  EXPECT_TRUE(channel.CommitAnswer(1, milliseconds(60000)).value().ok());
  EXPECT_TRUE(channel.stop_requested());
}

TEST_F(RankChannelTest, GivesUpWaitingWhenTheWorkerGoes) {
  RankChannel channel(rank_end_, false);
  auto got =
      std::async(std::launch::async, [&] { return channel.Get("key", milliseconds(60000)); });
  Read();
  worker_.Reset();
  EXPECT_EQ(got.get().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RankChannelTest, EndsTheProcessAtOnceWhenTheWorkerGoes) {
  const pid_t pid = fork();
  if (pid == 0) {
    worker_.Reset();
    const RankChannel channel(rank_end_);
    pause();
    _exit(0);
  }
  close(rank_end_);
  worker_.Reset();
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), RankChannel::kExitWorkerGone);
}

TEST(RankChannel, GrantsCommitsAndStaysSilentWithoutAWorker) {
  RankChannel channel(std::nullopt);
  EXPECT_TRUE(channel.StartCommit(1, "checkpoint-1", "x").ok());
  EXPECT_TRUE(channel.CommitAnswer(1, milliseconds(0)).value().ok());
  EXPECT_TRUE(channel.Report("step", Json::object()).ok());
  EXPECT_EQ(channel.Set("a", "b").code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace anamnesis::train
