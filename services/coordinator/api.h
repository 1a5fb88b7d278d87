// SPDX-License-Identifier: Apache-2.0
// The public plane: JobService, CheckpointService and ClusterService over the board, the store and
// the loop. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "services/coordinator/loop.h"
#include "services/coordinator/submission.h"

namespace grpc {
class ServerBuilder;
}

namespace anamnesis::coordinator {

struct ApiOptions {
  SubmissionRules rules;
  std::string version;
  // Calls must bring it as `authorization: Bearer TOKEN`; "" for none.
  std::string token;
};

class Api {
 public:
  // All outlive this.
  Api(ApiOptions options, Loop& loop, Board& board, store::Store& store,
      const launch::Launcher& launcher);
  ~Api();

  void Register(grpc::ServerBuilder* builder);

 private:
  struct Services;
  const std::unique_ptr<Services> services_;
};

}  // namespace anamnesis::coordinator
