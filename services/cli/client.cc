// SPDX-License-Identifier: Apache-2.0
#include "services/cli/client.h"

#include <algorithm>
#include <cctype>

#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "services/cli/wire.h"

namespace anamnesis::cli {
namespace {

constexpr int kPageSize = 100;

// The last part of gRPC's text, "... last error: UNKNOWN: unix:/s: Connection refused".
std::string ReasonOf(const std::string& text) {
  const size_t colon = text.rfind(": ");
  std::string reason = colon == std::string::npos ? text : text.substr(colon + 2);
  if (reason.size() > 1 && std::islower(static_cast<unsigned char>(reason[1])) != 0) {
    reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  }
  return reason.empty() ? "no reason given" : reason;
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  out->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(duration)));
}

// No socket, as opposed to one that nobody listens on: no coordinator that is about to come back.
bool IsAbsent(const grpc::Status& status) {
  return status.error_message().find("No such file or directory") != std::string::npos;
}

}  // namespace

bool IsAway(const grpc::Status& status) {
  if (rpc::IsFromServer(status)) return status.error_code() == grpc::StatusCode::UNAVAILABLE;
  // A server that is shut down cancels what is open.
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::CANCELLED ||
         (status.error_code() == grpc::StatusCode::UNKNOWN &&
          status.error_message().find("tream removed") != std::string::npos) ||
         (status.error_code() == grpc::StatusCode::INTERNAL &&
          status.error_message().find("RST_STREAM") != std::string::npos);
}

Client::Wire::Wire(Connection to)
    : connection(std::move(to)),
      channel(rpc::MakeChannel(connection.address)),
      jobs(v1::JobService::NewStub(channel)),
      checkpoints(v1::CheckpointService::NewStub(channel)),
      cluster(v1::ClusterService::NewStub(channel)) {}

Status Client::Wire::Failure(const grpc::Status& status) const {
  if (rpc::IsFromServer(status)) return rpc::FromGrpc(status);
  const std::string where = connection.address.Text();
  if (IsAway(status)) {
    const std::string reason = ReasonOf(status.error_message());
    if (reached) return Unavailable("the coordinator at ", where, " went away (", reason, ")");
    return Unavailable("no coordinator at ", where, " (", reason,
                       "); start one with 'anamnesis up'");
  }
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return DeadlineExceeded("the coordinator at ", where, " gave no answer within ",
                              absl::FormatDuration(deadline));
    case grpc::StatusCode::UNIMPLEMENTED:
      return Unimplemented("the coordinator at ", where,
                           " does not know this call: it may be of another version (",
                           status.error_message(), ")");
    default:
      return rpc::FromGrpc(status);
  }
}

void Client::Wire::Notice(const std::string& text) {
  if (notice) notice(text);
}

Client::Client(Connection connection) : wire_(std::make_unique<Wire>(std::move(connection))) {}
Client::~Client() = default;

const Connection& Client::connection() const { return wire_->connection; }

void Client::SetDeadline(absl::Duration deadline) { wire_->deadline = deadline; }

void Client::OnNotice(std::function<void(const std::string&)> notice) {
  wire_->notice = std::move(notice);
}

StatusOr<v1::Job> Client::CreateJob(const v1::CreateJobRequest& request) {
  const absl::Time deadline = absl::Now() + kCreatePatience;
  absl::Duration pause = absl::Milliseconds(200);
  bool told = false;
  for (;;) {
    v1::CreateJobResponse response;
    const grpc::Status status =
        wire_->Once(wire_->jobs.get(), &v1::JobService::Stub::CreateJob, request, &response);
    if (status.ok()) return std::move(*response.mutable_job());
    const bool absent = !told && IsAbsent(status);
    const bool again = IsAway(status) && !absent && !request.request_id().empty();
    if (!again || absl::Now() + pause > deadline) return wire_->Failure(status);
    if (!told) {
      wire_->Notice(Cat("no answer from the coordinator at ", wire_->connection.address.Text(),
                        ", trying again for ", absl::FormatDuration(kCreatePatience), " …"));
    }
    told = true;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Seconds(2));
  }
}

StatusOr<v1::Job> Client::GetJob(const std::string& name, bool full) {
  v1::GetJobRequest request;
  request.set_name(name);
  request.set_full(full);
  ANAM_ASSIGN_OR_RETURN(v1::GetJobResponse response,
                        wire_->Call(wire_->jobs.get(), &v1::JobService::Stub::GetJob, request));
  return std::move(*response.mutable_job());
}

StatusOr<std::vector<v1::Job>> Client::ListJobs(const std::vector<int>& states, size_t limit) {
  std::vector<v1::Job> jobs;
  v1::ListJobsRequest request;
  for (const int state : states) request.add_states(static_cast<v1::JobState>(state));
  int page_size = kPageSize;
  for (;;) {
    const size_t wanted = limit == 0 ? kPageSize : limit - jobs.size();
    request.set_page_size(
        std::min(page_size, static_cast<int>(std::min<size_t>(wanted, kPageSize))));
    v1::ListJobsResponse response;
    const grpc::Status status =
        wire_->Once(wire_->jobs.get(), &v1::JobService::Stub::ListJobs, request, &response);
    const bool too_large = status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                           !rpc::IsFromServer(status) && page_size > 1;
    if (too_large) {  // jobs with large configurations: the page is above the message limit
      page_size = std::max(1, page_size / 4);
      continue;
    }
    if (!status.ok()) return wire_->Failure(status);
    for (v1::Job& job : *response.mutable_jobs()) jobs.push_back(std::move(job));
    if (limit != 0 && jobs.size() >= limit) {
      jobs.resize(limit);
      return jobs;
    }
    if (response.next_page_token().empty()) return jobs;
    request.set_page_token(response.next_page_token());
  }
}

StatusOr<v1::Job> Client::CancelJob(const std::string& name, std::optional<absl::Duration> grace) {
  v1::CancelJobRequest request;
  request.set_name(name);
  if (grace) SetDuration(*grace, request.mutable_grace());
  ANAM_ASSIGN_OR_RETURN(v1::CancelJobResponse response,
                        wire_->Call(wire_->jobs.get(), &v1::JobService::Stub::CancelJob, request));
  return std::move(*response.mutable_job());
}

StatusOr<v1::Job> Client::PauseJob(const std::string& name) {
  v1::PauseJobRequest request;
  request.set_name(name);
  ANAM_ASSIGN_OR_RETURN(v1::PauseJobResponse response,
                        wire_->Call(wire_->jobs.get(), &v1::JobService::Stub::PauseJob, request));
  return std::move(*response.mutable_job());
}

StatusOr<v1::Job> Client::ResumeJob(const std::string& name) {
  v1::ResumeJobRequest request;
  request.set_name(name);
  ANAM_ASSIGN_OR_RETURN(v1::ResumeJobResponse response,
                        wire_->Call(wire_->jobs.get(), &v1::JobService::Stub::ResumeJob, request));
  return std::move(*response.mutable_job());
}

StatusOr<std::vector<v1::Checkpoint>> Client::ListCheckpoints(const std::string& job) {
  std::vector<v1::Checkpoint> checkpoints;
  v1::ListCheckpointsRequest request;
  request.set_parent(job);
  request.set_page_size(1000);
  for (;;) {
    ANAM_ASSIGN_OR_RETURN(v1::ListCheckpointsResponse response,
                          wire_->Call(wire_->checkpoints.get(),
                                      &v1::CheckpointService::Stub::ListCheckpoints, request));
    for (v1::Checkpoint& item : *response.mutable_checkpoints()) {
      checkpoints.push_back(std::move(item));
    }
    if (response.next_page_token().empty()) return checkpoints;
    request.set_page_token(response.next_page_token());
  }
}

StatusOr<std::string> Client::ServerVersion() {
  ANAM_ASSIGN_OR_RETURN(
      const v1::GetClusterResponse response,
      wire_->Call(wire_->cluster.get(), &v1::ClusterService::Stub::GetCluster, {}));
  return response.version();
}

StatusOr<std::vector<v1::Node>> Client::ListNodes() {
  ANAM_ASSIGN_OR_RETURN(
      const v1::GetClusterResponse response,
      wire_->Call(wire_->cluster.get(), &v1::ClusterService::Stub::GetCluster, {}));
  return std::vector<v1::Node>(response.nodes().begin(), response.nodes().end());
}

StatusOr<v1::Node> Client::CordonNode(const std::string& name, const std::string& message) {
  v1::CordonNodeRequest request;
  request.set_name(name);
  request.set_message(message);
  ANAM_ASSIGN_OR_RETURN(
      v1::CordonNodeResponse response,
      wire_->Call(wire_->cluster.get(), &v1::ClusterService::Stub::CordonNode, request));
  return std::move(*response.mutable_node());
}

StatusOr<v1::Node> Client::DrainNode(const std::string& name, const std::string& message) {
  v1::DrainNodeRequest request;
  request.set_name(name);
  request.set_message(message);
  ANAM_ASSIGN_OR_RETURN(
      v1::DrainNodeResponse response,
      wire_->Call(wire_->cluster.get(), &v1::ClusterService::Stub::DrainNode, request));
  return std::move(*response.mutable_node());
}

StatusOr<v1::Node> Client::UncordonNode(const std::string& name) {
  v1::UncordonNodeRequest request;
  request.set_name(name);
  ANAM_ASSIGN_OR_RETURN(
      v1::UncordonNodeResponse response,
      wire_->Call(wire_->cluster.get(), &v1::ClusterService::Stub::UncordonNode, request));
  return std::move(*response.mutable_node());
}

}  // namespace anamnesis::cli
