// SPDX-License-Identifier: Apache-2.0
// Session against a coordinator that the test plays, on a unix socket: what it does when streams
// break, and when it is refused.
#include "workers/agent/session.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <mutex>

#include "anamnesis/v1/worker_service.grpc.pb.h"
#include "common/process/identity.h"
#include "common/rpc/status.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

// One stream, as the coordinator sees it.
class Line {
 public:
  using Stream = grpc::ServerReaderWriter<v1::SessionResponse, v1::SessionRequest>;
  explicit Line(Stream& stream) : stream_(stream) {}

  // The next message that is no heartbeat; empty at the end.
  v1::SessionRequest Next() {
    v1::SessionRequest request;
    while (stream_.Read(&request)) {
      if (!request.has_heartbeat()) return request;
    }
    return {};
  }
  v1::SessionRequest NextOfAny() {
    v1::SessionRequest request;
    return stream_.Read(&request) ? request : v1::SessionRequest();
  }
  void ReadToTheEnd() {
    while (Next().message_case() != v1::SessionRequest::MESSAGE_NOT_SET) {
    }
  }
  void Grant(int64_t epoch, int64_t acknowledged = 0, int64_t heartbeat_ms = 0,
             int64_t lease_ms = 0) {
    v1::SessionResponse response;
    response.mutable_grant()->set_epoch(epoch);
    response.mutable_grant()->set_acknowledged_sequence(acknowledged);
    response.mutable_grant()->set_heartbeat_interval_ms(heartbeat_ms);
    response.mutable_grant()->set_lease_ms(lease_ms);
    stream_.Write(response);
  }
  void Ack(int64_t sequence) {
    v1::SessionResponse response;
    response.mutable_ack()->set_sequence(sequence);
    stream_.Write(response);
  }
  void Answer(int64_t epoch, int64_t step, bool granted) {
    v1::SessionResponse response;
    response.mutable_commit()->set_epoch(epoch);
    response.mutable_commit()->set_step(step);
    response.mutable_commit()->set_granted(granted);
    stream_.Write(response);
  }
  void Stop(int64_t grace_ms, bool leave) {
    v1::SessionResponse response;
    response.mutable_stop()->set_epoch(1);
    response.mutable_stop()->set_grace_ms(grace_ms);
    response.mutable_stop()->set_leave(leave);
    stream_.Write(response);
  }

 private:
  Stream& stream_;
};

using Life = std::function<Status(Line&)>;

// Each stream gets its own life; later ones find the coordinator away.
class PlayedCoordinator : public v1::WorkerService::Service {
 public:
  explicit PlayedCoordinator(std::vector<Life> lives) : lives_(std::move(lives)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + folder_.File("w"), grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~PlayedCoordinator() override { server_->Shutdown(std::chrono::system_clock::now()); }

  SessionOptions Options() const {
    return {.coordinator = *rpc::UnixAddress(folder_.File("w")),
            .job_id = "17",
            .epoch = 1,
            .token = "secret"};
  }

  grpc::Status Session(grpc::ServerContext*, Line::Stream* stream) override {
    size_t life = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      life = next_++;
    }
    if (life >= lives_.size()) return {grpc::StatusCode::UNAVAILABLE, "away"};
    Line line(*stream);
    return rpc::ToGrpc(lives_[life](line));
  }

 private:
  TemporaryFolder folder_;
  const std::vector<Life> lives_;
  std::mutex mutex_;
  size_t next_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// What the coordinator's threads saw, for the test to read.
template <typename T>
class Noted {
 public:
  void Add(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    values_.push_back(std::move(value));
  }
  std::vector<T> all() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return values_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<T> values_;
};

Status Broken() { return Unavailable("the coordinator ends"); }

v1::Report Phase(const std::string& phase) {
  v1::Report report;
  report.mutable_phase()->set_phase(phase);
  return report;
}

CommitQuestion Commit(int64_t step) {
  return {.epoch = 1, .step = step, .name = Cat("checkpoint-", step), .sha256 = "s"};
}

TEST(Session, AttachesWithItsTokenAndIsGranted) {
  Noted<v1::Hello> hellos;
  PlayedCoordinator coordinator({[&](Line& line) {
    hellos.Add(line.Next().hello());
    line.Grant(1);
    line.ReadToTheEnd();
    return absl::OkStatus();
  }});
  Session session(coordinator.Options());
  const StatusOr<v1::Grant> grant = session.WaitGrant(0, kPatience);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->epoch(), 1);
  const v1::Hello hello = hellos.all().at(0);
  EXPECT_EQ(hello.protocol_version(), 1);
  EXPECT_EQ(hello.job_id(), "17");
  EXPECT_EQ(hello.epoch(), 1);
  EXPECT_EQ(hello.token(), "secret");
  EXPECT_EQ(hello.pid(), ::getpid());
  EXPECT_FALSE(hello.reattach());
}

TEST(Session, WhatIsNotAcknowledgedIsSentAgainAfterTheStreamBroke) {
  Noted<int64_t> first, second;
  Noted<v1::Hello> again;
  PlayedCoordinator coordinator({[&](Line& line) {
                                   line.Next();
                                   line.Grant(1);
                                   for (int i = 0; i < 3; ++i) {
                                     first.Add(line.Next().report().sequence());
                                   }
                                   line.Ack(1);
                                   return Broken();
                                 },
                                 [&](Line& line) {
                                   again.Add(line.Next().hello());
                                   line.Grant(1, /*acknowledged=*/2);
                                   second.Add(line.Next().report().sequence());
                                   line.Ack(3);
                                   line.ReadToTheEnd();
                                   return absl::OkStatus();
                                 }});
  Session session(coordinator.Options());
  for (const char* phase : {"a", "b", "c"}) session.Report(Phase(phase));
  EXPECT_TRUE(session.Drain(kPatience).ok());
  EXPECT_THAT(first.all(), ElementsAre(1, 2, 3));
  EXPECT_THAT(second.all(), ElementsAre(3));
  EXPECT_TRUE(again.all().at(0).reattach());
  EXPECT_EQ(again.all().at(0).epoch(), 1);
}

TEST(Session, ACommitWithoutAnAnswerIsAskedAgain) {
  Noted<std::string> asked;
  const auto read = [&](Line& line) {
    line.Next();
    line.Grant(1);
    const v1::CommitRequest commit = line.Next().commit();
    asked.Add(Cat(commit.epoch(), "/", commit.step(), "/", commit.name(), "/", commit.sha256()));
  };
  PlayedCoordinator coordinator({[&](Line& line) {
                                   read(line);
                                   return Broken();
                                 },
                                 [&](Line& line) {
                                   read(line);
                                   line.Answer(1, 99, false);  // not to this question
                                   line.Answer(1, 20, true);
                                   line.Answer(1, 20, false);  // answered already
                                   line.ReadToTheEnd();
                                   return absl::OkStatus();
                                 }});
  std::promise<bool> granted;
  Session session(coordinator.Options());
  session.AskCommit(Commit(20), [&](bool yes, const std::string&) { granted.set_value(yes); });
  EXPECT_TRUE(granted.get_future().get());
  EXPECT_THAT(asked.all(), ElementsAre("1/20/checkpoint-20/s", "1/20/checkpoint-20/s"));
}

TEST(Session, AFinalRefusalAnswersCommitsAndStopsAtOnce) {
  PlayedCoordinator coordinator({[](Line& line) {
    line.Next();
    line.Grant(1);
    line.Next();
    return Aborted("epoch 1 is over");
  }});
  std::promise<std::string> pending;
  std::promise<int64_t> grace_ms;
  Session session(coordinator.Options());
  session.SetOnStop([&](const v1::StopRequest& stop) { grace_ms.set_value(stop.grace_ms()); });
  session.AskCommit(Commit(20), [&](bool yes, const std::string& reason) {
    pending.set_value(yes ? "granted" : reason);
  });
  EXPECT_NE(pending.get_future().get(), "granted");
  EXPECT_EQ(grace_ms.get_future().get(), 0);
  EXPECT_EQ(session.refused().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(MessageOf(session.refused()), HasSubstr("epoch 1 is over"));
  EXPECT_EQ(session.WaitGrant(1, kPatience).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(session.Drain(kPatience).code(), absl::StatusCode::kAborted);
  std::string later;
  session.AskCommit(Commit(40),
                    [&](bool yes, const std::string& reason) { later = yes ? "granted" : reason; });
  EXPECT_THAT(later, HasSubstr("epoch 1 is over"));
  session.SetOnStop(nullptr);
}

TEST(Session, TheNextEpochIsWaitedForAndForgetsTheCommitsOfTheLast) {
  Noted<int64_t> sequences;
  PlayedCoordinator coordinator({[&](Line& line) {
    line.Next();
    line.Grant(1);
    while (sequences.all().size() < 2) {  // a report and a commit, in either order
      const v1::SessionRequest request = line.Next();
      sequences.Add(request.has_report() ? request.report().sequence() : 0);
    }
    line.Grant(2, /*acknowledged=*/1);
    line.Answer(1, 20, true);  // too late
    sequences.Add(line.Next().report().sequence());
    line.Ack(2);
    line.ReadToTheEnd();
    return absl::OkStatus();
  }});
  Session session(coordinator.Options());
  ASSERT_TRUE(session.WaitGrant(0, kPatience).ok());
  std::atomic<bool> answered = false;
  session.AskCommit(Commit(20), [&](bool, const std::string&) { answered = true; });
  session.Report(Phase("failed"));
  const StatusOr<v1::Grant> grant = session.WaitGrant(1, kPatience);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->epoch(), 2);
  session.Report(Phase("again"));
  EXPECT_TRUE(session.Drain(kPatience).ok());
  EXPECT_EQ(sequences.all().back(), 2);  // reports are numbered over all epochs of a worker
  EXPECT_FALSE(answered);
}

TEST(Session, AStopThatCameBeforeIsToldToWhoAsksLater) {
  PlayedCoordinator coordinator({[](Line& line) {
    line.Next();
    line.Grant(1);
    line.Stop(/*grace_ms=*/5000, /*leave=*/false);
    line.Ack(0);
    line.Next();
    line.Stop(/*grace_ms=*/0, /*leave=*/true);
    line.ReadToTheEnd();
    return absl::OkStatus();
  }});
  Noted<int64_t> graces;
  Session session(coordinator.Options());
  ASSERT_TRUE(session.WaitGrant(0, kPatience).ok());
  session.SetOnStop([&](const v1::StopRequest& stop) { graces.Add(stop.grace_ms()); });
  session.Report(Phase("x"));
  EXPECT_EQ(session.WaitGrant(1, kPatience).status().code(), absl::StatusCode::kAborted);
  session.SetOnStop(nullptr);
  EXPECT_THAT(graces.all(), ElementsAre(5000, 0));
}

TEST(Session, BeatsNameTheEpochTheyWereGranted) {
  std::promise<int64_t> epoch;
  PlayedCoordinator coordinator({[&](Line& line) {
    line.Next();
    line.Grant(6, 0, /*heartbeat_ms=*/1);
    epoch.set_value(line.NextOfAny().heartbeat().epoch());
    line.ReadToTheEnd();
    return absl::OkStatus();
  }});
  Session session(coordinator.Options());
  EXPECT_EQ(epoch.get_future().get(), 6);
}

TEST(Session, ACoordinatorThatHangsIsLeftAndComeBackTo) {
  PlayedCoordinator coordinator({[](Line& line) {
                                   line.Next();
                                   line.Grant(1, 0, /*heartbeat_ms=*/1, /*lease_ms=*/5);
                                   line.ReadToTheEnd();  // and never a word
                                   return absl::OkStatus();
                                 },
                                 [](Line& line) {
                                   line.Next();
                                   line.Grant(2);
                                   line.ReadToTheEnd();
                                   return absl::OkStatus();
                                 }});
  Session session(coordinator.Options());
  EXPECT_TRUE(session.WaitGrant(1, kPatience).ok());
  EXPECT_TRUE(session.refused().ok());
}

TEST(Session, NobodyThereIsADeadlineAndNoRefusal) {
  const TemporaryFolder folder;
  Session session({.coordinator = *rpc::UnixAddress(folder.File("w")),
                   .job_id = "1",
                   .epoch = 1,
                   .token = "t"});
  session.Report(Phase("x"));
  EXPECT_EQ(session.WaitGrant(0, absl::ZeroDuration()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(session.Drain(absl::ZeroDuration()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(session.refused().ok());
}

}  // namespace
}  // namespace anamnesis::agent
