// SPDX-License-Identifier: Apache-2.0
// The gRPC side of Client, included by its sources only.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "anamnesis/v1/checkpoint_service.grpc.pb.h"
#include "anamnesis/v1/cluster_service.grpc.pb.h"
#include "anamnesis/v1/job_service.grpc.pb.h"
#include "services/cli/client.h"

namespace anamnesis::cli {

inline constexpr absl::Duration kUnaryDeadline = absl::Seconds(30);
inline constexpr absl::Duration kCreatePatience = absl::Seconds(30);
inline constexpr absl::Duration kRestartPatience = absl::Seconds(60);
inline constexpr absl::Duration kTick = absl::Milliseconds(100);

struct Client::Wire {
  explicit Wire(Connection to);

  // The status for people. `status` is not OK.
  Status Failure(const grpc::Status& status) const;
  void Notice(const std::string& text);

  template <typename Stub, typename Request, typename Response>
  grpc::Status Once(Stub* stub,
                    grpc::Status (Stub::*call)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(deadline));
    rpc::Authorize(connection.token, &context);
    const grpc::Status status = (stub->*call)(&context, request, response);
    if (status.ok()) reached = true;
    return status;
  }

  template <typename Stub, typename Request, typename Response>
  StatusOr<Response> Call(Stub* stub,
                          grpc::Status (Stub::*call)(grpc::ClientContext*, const Request&,
                                                     Response*),
                          const Request& request) {
    Response response;
    const grpc::Status status = Once(stub, call, request, &response);
    if (!status.ok()) return Failure(status);
    return response;
  }

  Connection connection;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::JobService::Stub> jobs;
  std::unique_ptr<v1::CheckpointService::Stub> checkpoints;
  std::unique_ptr<v1::ClusterService::Stub> cluster;
  std::function<void(const std::string&)> notice;
  absl::Duration deadline = kUnaryDeadline;
  bool reached = false;  // it has answered to this process
};

// Whether the coordinator, or the way to it, is away, as opposed to an answer of it.
bool IsAway(const grpc::Status& status);

}  // namespace anamnesis::cli
