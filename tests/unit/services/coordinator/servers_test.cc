// SPDX-License-Identifier: Apache-2.0
// The coordinator's servers on real sockets, with a loop behind them and the worker's own session
// in front.
#include "services/coordinator/servers.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "anamnesis/v1/job_service.grpc.pb.h"
#include "anamnesis/v1/worker_service.grpc.pb.h"
#include "common/rpc/address.h"
#include "common/rpc/status.h"
#include "tests/unit/common/config/config_text.h"
#include "tests/unit/services/coordinator/running_loop.h"
#include "workers/agent/session.h"

namespace anamnesis::coordinator {
namespace {

using core::JobState;
constexpr core::JobId kFirst{1};
constexpr absl::Duration kPatience = absl::Seconds(30);

struct ServedLoop : RunningLoop {
  explicit ServedLoop(Ground& ground) : RunningLoop(ground) {
    servers = *Servers::Start(
        {.public_socket = ground.folder.File("s"), .worker_socket = ground.folder.File("w")},
        loop(), board(), store(), sessions(), launcher());
  }
  // As the coordinator does it.
  void EndAll() {
    End();
    board().Close();
    sessions().CloseAll(Unavailable("the coordinator ends"));
    servers->Shutdown(absl::Milliseconds(500));
  }
  std::unique_ptr<Servers> servers;
};

rpc::Address SocketOf(const Ground& ground, const char* name) {
  return *rpc::UnixAddress(ground.folder.File(name));
}

agent::SessionOptions WorkerOf(const Ground& ground, const core::Attempt& attempt) {
  return {.coordinator = SocketOf(ground, "w"),
          .job_id = "1",
          .epoch = attempt.epoch,
          .token = attempt.token};
}

v1::Report StepReport(int64_t epoch, int64_t step) {
  v1::Report report;
  report.set_epoch(epoch);
  report.mutable_step()->set_step(step);
  report.mutable_step()->set_loss(2.5);
  return report;
}

v1::Report LoadingReport(int64_t epoch) {
  v1::Report report;
  report.set_epoch(epoch);
  report.mutable_phase()->set_state(v1::ATTEMPT_STATE_RENDEZVOUS);
  return report;
}

TEST(CoordinatorServers, AWorkerGoesOnFromOneLifeOfTheCoordinatorToTheNext) {
  Ground ground;
  auto life = std::make_unique<ServedLoop>(ground);
  life->Start();
  ASSERT_TRUE(life->Submit().ok());
  const JobSnapshot job = life->WaitForWorker(kFirst);
  ASSERT_NE(job, nullptr);
  agent::Session session(WorkerOf(ground, job->attempts.back()));
  ASSERT_TRUE(session.WaitGrant(0, kPatience).ok());
  session.Report(LoadingReport(1));
  session.Report(StepReport(1, 1));
  ASSERT_TRUE(session.Drain(kPatience).ok());
  EXPECT_EQ(life->board().Find(kFirst)->state, JobState::kRunning);
  life->EndAll();
  life.reset();

  session.Report(StepReport(1, 2));
  std::promise<std::string> committed;
  session.AskCommit({.epoch = 1, .step = 2, .name = "checkpoint-2", .sha256 = "s"},
                    [&](bool granted, const std::string& reason) {
                      committed.set_value(granted ? "granted" : reason);
                    });
  life = std::make_unique<ServedLoop>(ground);
  life->Start();
  EXPECT_EQ(committed.get_future().get(), "granted");
  ASSERT_TRUE(session.Drain(kPatience).ok());
  const JobSnapshot after = life->board().Find(kFirst);
  EXPECT_EQ(after->steps_executed, 2);
  EXPECT_EQ(after->attempts.back().reattached, 1);
  EXPECT_EQ(after->latest_checkpoint->path, "/out//checkpoint-2");
  life->KillWorkers();
  life->EndAll();
}

TEST(CoordinatorServers, AWorkerOfAnEpochThatIsOverOrWithAWrongTokenIsSentAway) {
  Ground ground;
  ServedLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  const JobSnapshot job = life.WaitForWorker(kFirst);
  ASSERT_NE(job, nullptr);
  agent::SessionOptions options = WorkerOf(ground, job->attempts.back());
  options.epoch = 7;
  EXPECT_EQ(agent::Session(options).WaitGrant(0, kPatience).status().code(),
            absl::StatusCode::kAborted);
  options.epoch = 1;
  options.token = "wrong";
  EXPECT_EQ(agent::Session(options).WaitGrant(0, kPatience).status().code(),
            absl::StatusCode::kPermissionDenied);
  options.job_id = "99";
  EXPECT_EQ(agent::Session(options).WaitGrant(0, kPatience).status().code(),
            absl::StatusCode::kNotFound);
  life.KillWorkers();
  life.EndAll();
}

// Workers come and go while the loop accepts them.
TEST(CoordinatorServers, SessionsThatEndAtAnyMomentLeaveNothingBehind) {
  Ground ground;
  ServedLoop life(ground);
  life.Start();
  ASSERT_TRUE(life.Submit().ok());
  const JobSnapshot job = life.WaitForWorker(kFirst);
  ASSERT_NE(job, nullptr);
  const auto stub = v1::WorkerService::NewStub(rpc::MakeChannel(SocketOf(ground, "w")));
  v1::SessionRequest hello;
  hello.mutable_hello()->set_protocol_version(1);
  hello.mutable_hello()->set_job_id("1");
  hello.mutable_hello()->set_epoch(1);
  hello.mutable_hello()->set_token(job->attempts.back().token);
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext context;
    const auto stream = stub->Session(&context);
    stream->Write(hello);
    if (i % 3 == 0) {
      v1::SessionResponse grant;
      EXPECT_TRUE(stream->Read(&grant));
    }
    context.TryCancel();  // often before the loop has seen the hello
    stream->Finish();
  }
  // The last end is told to the loop a little later.
  bool attached = true;
  for (int i = 0; i < 2000 && (attached || life.sessions().Has({kFirst})); ++i) {
    life.board().Since(~uint64_t{0}, std::chrono::milliseconds(5));
    life.Look([&](const core::State* state) {
      attached = state->FindSession(*state->Find(kFirst))->attached;
    });
  }
  EXPECT_FALSE(attached);
  EXPECT_FALSE(life.sessions().Has({kFirst}));
  life.KillWorkers();
  life.EndAll();
}

TEST(CoordinatorServers, ACallThatWaitsForTheLoopDoesNotHoldTheEndUp) {
  Ground ground;
  ServedLoop life(ground);  // its loop never runs, as when a later part of the start fails
  const auto stub = v1::JobService::NewStub(rpc::MakeChannel(SocketOf(ground, "s")));
  v1::CreateJobRequest request;
  request.mutable_spec()->set_task("pretrain_llm");
  request.mutable_spec()->set_working_directory("/");
  request.mutable_spec()->set_config_yaml(config::kSmall);
  grpc::ClientContext context, other;
  std::promise<grpc::Status> answered;
  v1::CreateJobResponse response;
  stub->async()->CreateJob(&context, &request, &response,
                           [&](grpc::Status status) { answered.set_value(std::move(status)); });
  v1::ListJobsResponse list;  // the first call has arrived by the time the second is answered
  EXPECT_TRUE(stub->ListJobs(&other, {}, &list).ok());
  life.servers->Shutdown(absl::Seconds(5));
  EXPECT_EQ(answered.get_future().get().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(CoordinatorServers, PagesGoDownToTheOldestJob) {
  Ground ground;
  ServedLoop life(ground);
  life.Start();
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(life.Submit(id).ok());
  const auto stub = v1::JobService::NewStub(rpc::MakeChannel(SocketOf(ground, "s")));
  std::vector<std::string> names;
  v1::ListJobsRequest request;
  request.set_page_size(2);
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    ASSERT_TRUE(stub->ListJobs(&context, request, &response).ok());
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ::testing::ElementsAre("jobs/3", "jobs/2", "jobs/1"));
  life.KillWorkers();
  life.EndAll();
}

}  // namespace
}  // namespace anamnesis::coordinator
