// SPDX-License-Identifier: Apache-2.0
// Session: the worker's line to the coordinator (docs/formats/session.md). It attaches, renews the
// lease, and comes back by itself after a lost coordinator. Reports are kept until they are
// acknowledged and commits until they are answered, so nothing is lost while the coordinator is
// away; training goes on meanwhile. One thread of its own; all functions are thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/rpc/address.h"

namespace anamnesis::v1 {
class Grant;
class Report;
class Relay;
class StopRequest;
}  // namespace anamnesis::v1

namespace anamnesis::agent {

// Called on the session's thread for each relay of another node, once and in order, and, without
// content, for each sign of life of it. Must not call the session, and outlives it.
using OnRelay = std::function<void(const v1::Relay& relay)>;

struct SessionOptions {
  rpc::Address coordinator;  // of the worker plane
  std::string job_id;
  int64_t epoch = 0;  // that the worker was launched for
  std::string token;
  int32_t node = 0;  // of the attempt's workers; 0 leads
  OnRelay on_relay = nullptr;
};

struct CommitQuestion {
  int64_t epoch = 0;
  int64_t step = 0;
  std::string name;
  std::string sha256;
};

class Session {
 public:
  using OnCommitAnswer = std::function<void(bool granted, const std::string& reason)>;
  using OnStop = std::function<void(const v1::StopRequest& request)>;

  explicit Session(SessionOptions options);
  ~Session();  // ends the line, whatever is unsent
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Numbers the report and sends it.
  void Report(v1::Report report);
  // `answer` is called once, on the session's thread, or on the caller's when the coordinator has
  // refused this worker already; never, once another epoch is granted. It must not
  // call the session.
  void AskCommit(const CommitQuestion& question, OnCommitAnswer answer);
  // Called on the session's thread for each stop that arrives, also (here) one that came before. It
  // must not call the session. Once SetOnStop(nullptr) returns, it is not called any more.
  void SetOnStop(OnStop on_stop);

  // To the worker of another node of the gang; in order, and not lost while a session is away.
  void Relay(int32_t node, v1::Relay relay);

  // Waits for the grant of an epoch above `after`. kAborted: the coordinator told the worker to
  // leave. kPermissionDenied and others: the coordinator refuses this worker (a newer one took
  // over, the job is gone). kDeadlineExceeded: no coordinator was there for `orphan_patience`.
  StatusOr<v1::Grant> WaitGrant(int64_t after, absl::Duration orphan_patience);
  // Waits until every report is acknowledged. Errors as of WaitGrant.
  Status Drain(absl::Duration orphan_patience);
  // The coordinator refused this worker for good; OK while it has not.
  Status refused() const;

 private:
  class Line;
  std::unique_ptr<Line> line_;
};

}  // namespace anamnesis::agent
