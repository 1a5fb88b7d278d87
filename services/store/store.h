// SPDX-License-Identifier: Apache-2.0
// The durable memory of the coordinator: jobs, transitions, checkpoints and metric points in one
// SQLite database (WAL, synchronous=FULL). What Write was given is on the disk when it returns OK;
// else nothing of it is. One writer thread; Open with another process alive on the same file is
// refused by the lock of the data directory, not here. docs/formats/store.md describes the tables.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "services/core/state.h"

namespace anamnesis::store {

// What one step or one evaluation measured.
struct MetricPoint {
  int64_t step = 0;
  int64_t epoch = 0;  // of the attempt
  absl::Time time;
  std::map<std::string, double> values;  // loss, tuning_loss, ... ; NaN and infinities survive
};

// Rows that become durable together.
struct Batch {
  // Stored as they are now. Of the spec and its resolved JSON, what the first Write of a job had.
  std::map<core::JobId, const core::Job*> jobs;
  std::vector<std::pair<core::JobId, core::Transition>> transitions;
  std::vector<std::pair<core::JobId, core::Checkpoint>> checkpoints;  // of one step and epoch: last
  std::vector<std::pair<core::JobId, MetricPoint>> points;  // of one step and epoch: merged
  const std::optional<core::Cordon>* cordon = nullptr;      // as it is now; nullptr: unchanged
  bool empty() const {
    return jobs.empty() && transitions.empty() && checkpoints.empty() && points.empty() &&
           cordon == nullptr;
  }
};

struct Loaded {
  std::vector<core::Job> jobs;  // by id
  int64_t next_job_id = 1;      // above every id that was ever stored
  std::optional<core::Cordon> cordon = {};
};

class Store {
 public:
  // Makes the database (mode 0600) or opens it. kDataLoss: damaged. kFailedPrecondition: of a newer
  // version, or not ours. kNotFound (no such folder), kPermissionDenied, kResourceExhausted as the
  // system says.
  static StatusOr<std::unique_ptr<Store>> Open(const std::string& path);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // kDataLoss names the job and the key that cannot be read. Writer thread.
  StatusOr<Loaded> Load();
  // One transaction, one flush. kResourceExhausted: the disk is full; kUnavailable: an I/O error,
  // or another process holds the database; kDataLoss: damaged; kAlreadyExists: two jobs have one
  // request id. After an error the store is usable, and the same batch may be written again.
  // Writer thread.
  Status Write(const Batch& batch);

  // Readers; thread-safe, also beside the writer. They see whole Writes only; a job that is not
  // there has no rows.
  StatusOr<std::vector<core::Transition>> Transitions(core::JobId job);  // oldest first
  StatusOr<std::vector<core::Checkpoint>> Checkpoints(core::JobId job);  // newest step first
  // Points that arrived or grew after the cursor `after_row` (0: all), in that order, at most
  // `limit`; `next` becomes the cursor behind the last of them.
  StatusOr<std::vector<MetricPoint>> Points(core::JobId job, int64_t after_row, int64_t limit,
                                            int64_t* next);

 private:
  struct Connections;
  explicit Store(std::unique_ptr<Connections> connections);
  std::unique_ptr<Connections> connections_;
};

}  // namespace anamnesis::store
