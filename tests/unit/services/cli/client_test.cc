// SPDX-License-Identifier: Apache-2.0
// Client against a coordinator that this process plays, on a unix socket: what it does when the
// coordinator is not there, goes away in the middle of a stream, or refuses.
#include "services/cli/client.h"

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "anamnesis/v1/checkpoint_service.pb.h"
#include "anamnesis/v1/job_service.grpc.pb.h"
#include "common/config/field_violations.h"
#include "common/rpc/status.h"
#include "services/cli/job_view.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Answers by what the test put into it.
class PlayedService : public v1::JobService::Service {
 public:
  grpc::Status CreateJob(grpc::ServerContext* context, const v1::CreateJobRequest* request,
                         v1::CreateJobResponse* response) override {
    const std::lock_guard lock(mutex);
    request_ids.push_back(request->request_id());
    const auto& metadata = context->client_metadata();
    const auto found = metadata.find("authorization");
    if (found != metadata.end()) {
      authorization = std::string(found->second.data(), found->second.size());
    }
    if (refusals > 0) {
      --refusals;
      return rpc::ToGrpc(refusal);
    }
    response->mutable_job()->set_name("jobs/1");
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::GetJobResponse* response) override {
    response->mutable_job()->set_name(request->name());
    return grpc::Status::OK;
  }
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    const int first = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    const int last = std::min(first + request->page_size(), num_jobs);
    for (int i = first; i < last; ++i) {
      v1::Job& job = *response->add_jobs();
      job.set_name("jobs/" + std::to_string(i));
      job.mutable_spec()->set_config_yaml(std::string(config_bytes, 'x'));
    }
    if (last < num_jobs) response->set_next_page_token(std::to_string(last));
    return grpc::Status::OK;
  }
  // Steps 1 to 3 in the first life, 4 on in the second, by the token.
  grpc::Status WatchJobs(grpc::ServerContext*, const v1::WatchJobsRequest* request,
                         grpc::ServerWriter<v1::WatchJobsResponse>* writer) override {
    {
      const std::lock_guard lock(mutex);
      tokens.push_back(request->resume_token());
      if (request->resume_token() == refused_token) {
        return rpc::ToGrpc(Status(absl::StatusCode::kOutOfRange, "token of another life"));
      }
    }
    int step = request->resume_token().empty() ? 0 : std::stoi(request->resume_token());
    const int end = step == 0 ? 3 : 5;
    while (step < end) {
      v1::WatchJobsResponse response;
      response.mutable_job()->set_name("jobs/1");
      response.mutable_job()->mutable_progress()->set_step(++step);
      response.mutable_job()->set_state(step == 5 ? v1::JOB_STATE_SUCCEEDED
                                                  : v1::JOB_STATE_RUNNING);
      response.set_resume_token(std::to_string(step));
      writer->Write(response);
    }
    return end == 5 ? grpc::Status::OK : grpc::Status(grpc::StatusCode::UNAVAILABLE, "restart");
  }
  grpc::Status StreamLogs(grpc::ServerContext*, const v1::StreamLogsRequest*,
                          grpc::ServerWriter<v1::StreamLogsResponse>* writer) override {
    const std::lock_guard lock(mutex);
    v1::StreamLogsResponse response;
    for (const std::string line : {"one\n", "two\n", "three\n"}) {
      response.set_lines(line);
      if (line == "three\n" && log_calls == 0) break;
      writer->Write(response);
    }
    return log_calls++ == 0 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "x") : grpc::Status::OK;
  }
  grpc::Status StreamMetrics(grpc::ServerContext*, const v1::StreamMetricsRequest* request,
                             grpc::ServerWriter<v1::StreamMetricsResponse>* writer) override {
    const std::lock_guard lock(mutex);
    const bool first = metric_calls++ == 0;
    v1::StreamMetricsResponse response;
    const auto add = [&](int64_t epoch, int64_t step, const char* name) {
      if (step <= request->after_step()) return;
      v1::MetricPoint& point = *response.add_points();
      point.set_epoch(epoch);
      point.set_step(step);
      (*point.mutable_values())[name] = 1;
    };
    for (int64_t step = 1; step <= 4; ++step) add(1, step, "loss");
    if (!first) add(1, 4, "tuning_loss");
    if (!first) add(2, 3, "loss");
    writer->Write(response);
    return first ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "x") : grpc::Status::OK;
  }

  std::mutex mutex;
  std::vector<std::string> request_ids, tokens;
  std::string authorization, refused_token = "none";
  int refusals = 0, num_jobs = 0, log_calls = 0, metric_calls = 0;
  size_t config_bytes = 0;
  Status refusal;
};

class ClientTest : public ::testing::Test {
 protected:
  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + Socket(), grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  std::string Socket() const { return folder_.File("s"); }
  std::unique_ptr<Client> MakeClient(const std::string& token = "") const {
    Connection connection;
    connection.address = *rpc::UnixAddress(Socket());
    connection.token = token;
    return std::make_unique<Client>(connection);
  }

  TemporaryFolder folder_;
  PlayedService service_;
  std::unique_ptr<grpc::Server> server_;
};

bool GoOn() { return true; }

TEST_F(ClientTest, SaysThatThereIsNoCoordinator) {
  const Status status = MakeClient()->GetJob("jobs/1", false).status();
  EXPECT_EQ(ExitCodeOf(status), 75);
  EXPECT_EQ(MessageOf(status), Cat("no coordinator at unix:", Socket(),
                                   " (no such file or directory); start one with 'anamnesis up'"));
  v1::CreateJobRequest request;
  request.set_request_id("r");
  EXPECT_EQ(ExitCodeOf(MakeClient()->CreateJob(request).status()), 75);
}

TEST_F(ClientTest, TriesToSubmitAgainWithTheSameId) {
  Start();
  service_.refusals = 2;
  service_.refusal = Unavailable("loading");
  v1::CreateJobRequest request;
  request.set_request_id("r");
  EXPECT_EQ(MakeClient("secret")->CreateJob(request)->name(), "jobs/1");
  EXPECT_THAT(service_.request_ids, ElementsAre("r", "r", "r"));
  EXPECT_EQ(service_.authorization, "Bearer secret");
}

TEST_F(ClientTest, BringsEveryBadKey) {
  Start();
  service_.refusals = 1;
  service_.refusal =
      config::WithFieldViolations(InvalidArgument("bad"), {{"a.b", "f:1:2: a.b: unknown key"}});
  const Status status = MakeClient()->CreateJob({}).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_EQ(config::FieldViolationsOf(status).at(0).field, "a.b");
}

TEST_F(ClientTest, ListsAllPagesAndSmallerOnesWhereJobsAreLarge) {
  Start();
  service_.num_jobs = 230;
  EXPECT_EQ(MakeClient()->ListJobs({}, 0)->size(), 230u);
  EXPECT_EQ(MakeClient()->ListJobs({}, 120)->size(), 120u);
  service_.num_jobs = 30;
  service_.config_bytes = 900'000;
  const auto jobs = MakeClient()->ListJobs({}, 0);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(jobs->size(), 30u);
}

TEST_F(ClientTest, WatchGoesOnWhereItWasAfterTheCoordinatorWasAway) {
  Start();
  const auto client = MakeClient();
  std::vector<std::string> notices;
  client->OnNotice([&](const std::string& text) { notices.push_back(text); });
  std::vector<int64_t> steps;
  bool ended = false;
  const Status status = client->WatchJobs(
      {"jobs/1"},
      [&](const v1::WatchJobsResponse& response) {
        steps.push_back(response.job().progress().step());
        ended = HasEnded(response.job().state());
        return true;
      },
      [&] { return ended; }, GoOn);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(service_.tokens, ElementsAre("", "3"));
  EXPECT_THAT(notices, ElementsAre(HasSubstr("coordinator gone, waiting")));
}

TEST_F(ClientTest, WatchBeginsAnewWhenItsTokenIsNotKnown) {
  Start();
  service_.refused_token = "3";
  int heard = 0;
  const Status status = MakeClient()->WatchJobs(
      {}, [&](const v1::WatchJobsResponse&) { return ++heard < 5; }, [] { return false; }, GoOn);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(service_.tokens, ElementsAre("", "3", ""));
}

TEST_F(ClientTest, WatchSurvivesARealRestart) {
  Start();
  const auto client = MakeClient();
  int heard = 0;
  std::thread restart;
  const Status status = client->WatchJobs(
      {},
      [&](const v1::WatchJobsResponse&) {
        if (++heard == 1) {
          restart = std::thread([this] {
            server_->Shutdown(std::chrono::system_clock::now());
            server_.reset();
            Start();
          });
        }
        return heard < 5;
      },
      [] { return false; }, GoOn);
  restart.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ClientTest, AStreamEndsWhenItIsToldTo) {
  Start();
  int ticks = 0;
  const Status status = MakeClient()->WatchJobs(
      {}, [](const v1::WatchJobsResponse&) { return true; }, [] { return false; },
      [&] { return ++ticks < 3; });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ClientTest, LogsAndMetricsComeOnce) {
  Start();
  std::string log;
  v1::StreamLogsRequest logs;
  EXPECT_TRUE(MakeClient()
                  ->StreamLogs(
                      logs, [&](const std::string& lines) { return log += lines, true; }, GoOn)
                  .ok());
  EXPECT_EQ(log, "one\ntwo\nthree\n");
  std::vector<std::string> points;
  const auto add = [&](const v1::MetricPoint& point) {
    points.push_back(Cat(point.epoch(), "/", point.step(), " ", point.values().begin()->first));
    return true;
  };
  EXPECT_TRUE(MakeClient()->StreamMetrics({}, add, GoOn).ok());
  EXPECT_THAT(points, ElementsAre("1/1 loss", "1/2 loss", "1/3 loss", "1/4 loss", "1/4 tuning_loss",
                                  "2/3 loss"));
}

TEST_F(ClientTest, ACallThatTheServerDoesNotKnowIsOneOfAnotherVersion) {
  Start();
  const Status status = MakeClient()->ListCheckpoints("jobs/1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(status), AllOf(HasSubstr("another version"), HasSubstr(Socket())));
}

}  // namespace
}  // namespace anamnesis::cli
