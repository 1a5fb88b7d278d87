// SPDX-License-Identifier: Apache-2.0
// What the services of the public plane share. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "services/coordinator/api.h"

namespace anamnesis::coordinator {

struct ApiContext {
  const ApiOptions options;
  Loop& loop;
  Board& board;
  store::Store& store;
  const launch::Launcher& launcher;

  // kUnauthenticated without the token that is asked for.
  Status Authorize(const grpc::ServerContextBase& context) const;
  // Who calls, for transitions: "user".
  std::string ActorOf(const grpc::ServerContextBase& context) const;
  // kNotFound where there is no such job.
  StatusOr<JobSnapshot> FindJob(const std::string& name) const;
};

}  // namespace anamnesis::coordinator
