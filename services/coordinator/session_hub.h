// SPDX-License-Identifier: Apache-2.0
// The open sessions of workers: what the loop has to say to a job's workers goes to their links,
// and what the workers of one gang say to each other goes from one link to another. Thread-safe;
// nothing here waits for a worker.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "anamnesis/v1/worker_service.pb.h"
#include "services/core/job.h"

namespace anamnesis::coordinator {

// One worker's open stream.
class SessionLink {
 public:
  virtual ~SessionLink() = default;
  virtual void Push(v1::SessionResponse message) = 0;
  // Ends the stream with this status once what was pushed is sent.
  virtual void Close(const Status& status) = 0;
};

// A worker: the node of a job's gang, 0 leads.
struct WorkerName {
  core::JobId job{};
  int64_t node = 0;
  auto operator<=>(const WorkerName&) const = default;
};

class SessionHub {
 public:
  // A worker has one link; an earlier one is closed. `token` is its gang's: only workers of one
  // gang are told of each other.
  void Register(const WorkerName& worker, const std::string& token,
                const std::shared_ptr<SessionLink>& link);
  // Forgets the link if it is still the worker's. True if it was.
  bool Unregister(const WorkerName& worker, const SessionLink* link);
  bool Has(const WorkerName& worker);
  // To the worker that leads. False when it is not attached.
  bool Push(core::JobId job, v1::SessionResponse message);
  // To all workers of the job; false when the one that leads is not attached.
  bool PushToAll(core::JobId job, const v1::SessionResponse& message);
  // To the worker of the same gang that the relay names; lost when that one is not attached, and
  // sent again when it comes. False when `link` is not this worker's any more.
  bool Relay(const WorkerName& from, const SessionLink* link, v1::Relay relay);
  // Ends all streams; workers come back to the next coordinator.
  void CloseAll(const Status& status);

 private:
  struct Entry {
    std::string token;
    std::shared_ptr<SessionLink> link;
  };

  std::mutex mutex_;
  std::map<WorkerName, Entry> entries_;
};

}  // namespace anamnesis::coordinator
