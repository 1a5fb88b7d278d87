// SPDX-License-Identifier: Apache-2.0
// A gang whose second rank is run by another node's worker: RemoteRanks on one side, RankHost on
// the other, with a wire between them that the test holds.
#include "workers/agent/remote_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>

#include "tests/support/temporary_folder.h"
#include "workers/agent/rank_host.h"
#include "workers/gang/rank_environment.h"

namespace anamnesis::agent {
namespace {

using ::testing::HasSubstr;

class Recorder : public gang::Observer {
 public:
  void OnStarted(int, const Json&) override {}
  void OnStep(int rank, const contract::StepReport&) override { ++steps[rank]; }
  void OnEval(int, const contract::EvalReport&) override {}
  std::optional<gang::CommitAnswer> OnCommit(int, const gang::CommitRequest&) override {
    return gang::CommitAnswer{};
  }
  void OnSaved(int, int64_t, const std::string&, double) override {}
  void OnStopping() override { ++stopping; }

  std::map<int, int> steps;
  int stopping = 0;
};

// The other node's worker, in a thread.
class OtherNode {
 public:
  OtherNode(const std::string& program, const std::string& folder, RelayInbox& to_lead)
      : inbox_(*RelayInbox::Create()), to_lead_(to_lead) {
    thread_ = std::thread([this, program, folder] {
      RankHost host({.rank_program = program,
                     .folder = folder,
                     .refusal = absl::OkStatus(),
                     .seats = {},
                     .send = [this](v1::Relay relay) { Send(std::move(relay)); }});
      v1::Relay ready;
      ready.mutable_ready();
      Send(std::move(ready));
      while (!ending_) {
        std::vector<pollfd> fds = {{inbox_->fd(), POLLIN, 0}};
        host.AddDescriptors(&fds);
        ::poll(fds.data(), fds.size(), 200);
        Send({});  // a sign of life
        for (const v1::Relay& relay : inbox_->Take()) host.Take(relay);
        host.Turn();
      }
    });
  }
  ~OtherNode() {
    ending_ = true;
    inbox_->Ring();
    thread_.join();
  }

  void Take(v1::Relay relay) {
    if (!cut_) inbox_->Put(relay);
  }
  void CutOff() { cut_ = true; }

 private:
  void Send(v1::Relay relay) {
    relay.set_node(1);
    if (!cut_) to_lead_.Put(relay);
  }

  const std::unique_ptr<RelayInbox> inbox_;
  RelayInbox& to_lead_;
  std::atomic<bool> ending_ = false, cut_ = false;
  std::thread thread_;
};

class RemoteRanksTest : public ::testing::Test {
 protected:
  RemoteRanksTest() {
    // The plan of a rank is its script.
    const std::string text =
        Cat("#!/bin/sh\nread script < \"$1\"\nshift\nexec ", Echo(), " $script \"$@\"\n");
    program_ = folder_.Write("rank", text);
    ::chmod(program_.c_str(), 0700);
    MakeNode();
  }

  static std::string Echo() { return std::string(std::getenv("ANAMNESIS_BIN_DIR")) + "/echo_rank"; }

  void MakeNode() {
    node_ = std::make_unique<OtherNode>(program_, folder_.path(), *inbox_);
    ranks_ = std::make_unique<RemoteRanks>(
        RemoteRanksOptions{.ranks_per_node = 1,
                           .send = [this](int32_t, v1::Relay relay) { node_->Take(relay); },
                           .on_node_leaves = [this] { mailbox_->NodeLeaves(); },
                           .kill_patience = absl::Milliseconds(300)},
        *inbox_);
  }

  gang::Outcome Run(const std::string& here, const std::string& there) {
    gang::GangOptions gang;
    for (const auto& [number, script] : {std::pair{0, here}, std::pair{1, there}}) {
      const std::string plan = folder_.Write(Cat("plan-", number), Cat(number, " ", script, "\n"));
      gang.ranks.push_back({.argv = {program_, plan},
                            .environment = gang::RankEnvironment({}),
                            .log_path = folder_.File(Cat("rank-", number, ".log"))});
      gang.elsewhere.push_back(ranks_->StarterOf(number));
    }
    gang.mailbox = mailbox_.get();
    gang.stall.floor = absl::Seconds(2);
    return gang::RunGang(std::move(gang), recorder_);
  }

  TemporaryFolder folder_;
  std::string program_;
  const std::unique_ptr<RelayInbox> inbox_ = *RelayInbox::Create();
  const std::unique_ptr<gang::Mailbox> mailbox_ = *gang::Mailbox::Create();
  Recorder recorder_;
  std::unique_ptr<OtherNode> node_;
  std::unique_ptr<RemoteRanks> ranks_;
};

TEST_F(RemoteRanksTest, RanksOfTwoNodesMeetAndAreDone) {
  const gang::Outcome outcome =
      Run("set:a=01 get:b=02 steps:3 done", "get:a=01 set:b=02 steps:3 done");
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(recorder_.steps[0], 3);
  EXPECT_EQ(recorder_.steps[1], 3);
  EXPECT_EQ(outcome.done.size(), 2u);
}

TEST_F(RemoteRanksTest, WhatARankSaysIsWholeHoweverMuchItIs) {
  const gang::Outcome outcome = Run("steps:2000 done", "steps:2000 commit:1 done");
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(recorder_.steps[1], 2000);
}

TEST_F(RemoteRanksTest, ARankThatIsKilledElsewhereIsNamedWithItsSignal) {
  const gang::Outcome outcome = Run("hang", "steps:1 kill:9");
  EXPECT_EQ(outcome.culprit, 1);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr("rank 1"));
}

TEST_F(RemoteRanksTest, AnErrorOfARankElsewhereIsReported) {
  const gang::Outcome outcome = Run("hang", "error:boom");
  EXPECT_EQ(outcome.culprit, 1);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr("boom"));
}

TEST_F(RemoteRanksTest, AProgramThatIsNotThereIsNamed) {
  const std::string program = std::exchange(program_, folder_.File("absent"));
  ranks_.reset();
  MakeNode();
  program_ = program;
  const gang::Outcome outcome = Run("hang", "done");
  EXPECT_EQ(outcome.culprit, 1);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr(folder_.File("absent")));
}

TEST_F(RemoteRanksTest, AHangingRankOfANodeThatAnswersIsAStall) {
  const gang::Outcome outcome = Run("await_stop", "steps:1 stubborn");
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kDeadlineExceeded) << outcome.status;
}

TEST_F(RemoteRanksTest, TheSilenceOfANodeThatIsAwayIsNotItsRanks) {
  ranks_.reset();
  node_->CutOff();
  MakeNode();
  node_->CutOff();
  // The rank here ends by itself, and takes the gang with it; the other one is given up.
  const gang::Outcome outcome = Run("steps:1 kill:9", "hang");
  EXPECT_EQ(outcome.culprit, 0);
}

TEST_F(RemoteRanksTest, ANodeThatIsToEndHasTheGangStop) {
  v1::Relay relay;
  relay.mutable_leaving();
  relay.set_node(1);
  inbox_->Put(relay);
  const gang::Outcome outcome = Run("await_stop", "await_stop");
  EXPECT_TRUE(outcome.saved) << outcome.status;
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(recorder_.stopping, 1);
}

}  // namespace
}  // namespace anamnesis::agent
