// SPDX-License-Identifier: Apache-2.0
// The worker plane: one session for each worker (docs/formats/session.md). Every message renews the
// lease; reports are acknowledged once they are durable; a worker of an epoch that is over is sent
// away. Holds no thread. Thread-safe.
#pragma once

#include "anamnesis/v1/worker_service.grpc.pb.h"
#include "services/coordinator/loop.h"

namespace anamnesis::coordinator {

class WorkerServiceImpl final : public v1::WorkerService::CallbackService {
 public:
  WorkerServiceImpl(Loop& loop, SessionHub& sessions) : loop_(loop), sessions_(sessions) {}

  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(
      grpc::CallbackServerContext* context) override;

 private:
  Loop& loop_;
  SessionHub& sessions_;
};

}  // namespace anamnesis::coordinator
