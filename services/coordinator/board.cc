// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/board.h"

#include <algorithm>

namespace anamnesis::coordinator {

void Board::Publish(JobSnapshot job) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = jobs_[job->id];
    by_version_.erase(entry.version);
    entry.version = ++version_;
    by_version_[entry.version] = job->id;
    entry.job = std::move(job);
  }
  changed_.notify_all();
}

void Board::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

bool Board::closed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

JobSnapshot Board::Find(core::JobId id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second.job;
}

std::vector<JobSnapshot> Board::List(core::JobId below, size_t limit,
                                     const std::vector<core::JobState>& states) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<JobSnapshot> jobs;
  for (auto entry = jobs_.lower_bound(below); entry != jobs_.begin() && jobs.size() < limit;) {
    --entry;
    const JobSnapshot& job = entry->second.job;
    if (!states.empty() && std::find(states.begin(), states.end(), job->state) == states.end()) {
      continue;
    }
    jobs.push_back(job);
  }
  return jobs;
}

std::vector<JobSnapshot> Board::All() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<JobSnapshot> jobs;
  for (const auto& [id, entry] : jobs_) jobs.push_back(entry.job);
  return jobs;
}

Board::Changes Board::Since(uint64_t version, std::chrono::milliseconds patience) const {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return closed_ || version_ > version; });
  Changes changes{.version = version_};
  for (auto change = by_version_.upper_bound(version); change != by_version_.end(); ++change) {
    changes.jobs.push_back(jobs_.at(change->second).job);
  }
  return changes;
}

}  // namespace anamnesis::coordinator
