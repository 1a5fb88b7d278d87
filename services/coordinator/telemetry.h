// SPDX-License-Identifier: Apache-2.0
// The metrics of the coordinator, with what workers reported: names and labels of
// docs/metrics.md, all made here. Labels are bounded: states and reasons, and the job's number for
// series of jobs that have not ended. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/coordinator/board.h"
#include "services/core/event.h"

namespace prometheus {
class Exposer;
}

namespace anamnesis::coordinator {

class Telemetry {
 public:
  Telemetry(const Board& board, int64_t num_slots, const std::string& version);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  void OnTransition(const core::Transition& transition);
  void OnReport(const core::Reported& report, bool is_new);
  void OnCommit(absl::Duration duration);  // of a transaction of the store
  void OnStoreFailure();

  // As a scrape sees it.
  std::string Text() const;
  // Serves /metrics on HOST:PORT (port 0: a free one) and returns the address that was taken.
  StatusOr<std::string> Serve(const std::string& address);

 private:
  struct Series;
  const std::unique_ptr<Series> series_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace anamnesis::coordinator
