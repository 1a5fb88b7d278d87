// SPDX-License-Identifier: Apache-2.0
// Board: the jobs as the loop last made them durable, for those who read and watch. Readers never
// wait for the loop. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "services/core/job.h"

namespace anamnesis::coordinator {

using JobSnapshot = std::shared_ptr<const core::Job>;

class Board {
 public:
  void Publish(JobSnapshot job);
  // Wakes everybody who waits, for ever after: the coordinator ends.
  void Close();
  bool closed() const;

  JobSnapshot Find(core::JobId id) const;  // nullptr where there is none
  // Newest first, with an id below `below`.
  std::vector<JobSnapshot> List(core::JobId below, size_t limit,
                                const std::vector<core::JobState>& states) const;
  std::vector<JobSnapshot> All() const;

  struct Changes {
    uint64_t version = 0;  // up to which these are complete
    std::vector<JobSnapshot> jobs = {};
  };
  // What changed after `version` (0: everything), each job as it is now; waits for something up to
  // `patience`.
  Changes Since(uint64_t version, std::chrono::milliseconds patience) const;

 private:
  struct Entry {
    JobSnapshot job;
    uint64_t version = 0;
  };

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<core::JobId, Entry> jobs_;
  std::map<uint64_t, core::JobId> by_version_;  // the newest change of each job
  uint64_t version_ = 0;
  bool closed_ = false;
};

}  // namespace anamnesis::coordinator
