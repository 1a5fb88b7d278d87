// SPDX-License-Identifier: Apache-2.0
// The worker plane: one session for each worker (docs/formats/session.md). Every message renews the
// lease; reports are acknowledged once they are durable; a worker of an epoch that is over is sent
// away. A session holds no thread; folders on their way in or out hold one each. Thread-safe.
#pragma once

#include "anamnesis/v1/worker_service.grpc.pb.h"
#include "services/coordinator/loop.h"

namespace anamnesis::coordinator {

class WorkerServiceImpl final
    : public v1::WorkerService::WithCallbackMethod_Session<v1::WorkerService::Service> {
 public:
  WorkerServiceImpl(Loop& loop, SessionHub& sessions) : loop_(loop), sessions_(sessions) {}

  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(
      grpc::CallbackServerContext* context) override;

  grpc::Status PutFolder(grpc::ServerContext* context,
                         grpc::ServerReader<v1::PutFolderRequest>* reader,
                         v1::PutFolderResponse* response) override;
  grpc::Status GetCheckpoint(grpc::ServerContext* context, const v1::GetCheckpointRequest* request,
                             grpc::ServerWriter<v1::GetCheckpointResponse>* writer) override;

 private:
  // The output folder of the job whose worker calls. Errors as of a session's hello.
  StatusOr<std::string> FindOutput(const v1::WorkerIdentity& worker);

  Loop& loop_;
  SessionHub& sessions_;
};

}  // namespace anamnesis::coordinator
