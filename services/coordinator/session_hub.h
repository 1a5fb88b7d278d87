// SPDX-License-Identifier: Apache-2.0
// The open sessions of workers: what the loop has to say to a job's worker goes to its link.
// Thread-safe; nothing here waits for a worker.
#pragma once

#include <map>
#include <memory>
#include <mutex>

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

class SessionHub {
 public:
  // A job has one link; an earlier one is closed.
  void Register(core::JobId job, const std::shared_ptr<SessionLink>& link);
  // Forgets the link if it is still the job's. True if it was.
  bool Unregister(core::JobId job, const SessionLink* link);
  bool Has(core::JobId job);
  // False when the job's worker is not attached.
  bool Push(core::JobId job, v1::SessionResponse message);
  // Ends all streams; workers come back to the next coordinator.
  void CloseAll(const Status& status);

 private:
  std::mutex mutex_;
  std::map<core::JobId, std::shared_ptr<SessionLink>> links_;
};

}  // namespace anamnesis::coordinator
