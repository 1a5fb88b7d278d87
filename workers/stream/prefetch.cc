// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/prefetch.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/check.h"

namespace anamnesis::stream {

struct Prefetcher::Queue {
  Queue(RowSource& row_source, std::vector<int64_t> row_order, size_t max_rows)
      : source(row_source), rows(std::move(row_order)), max_rows_ahead(max_rows) {}

  void MakeRows() {
    for (const int64_t row : rows) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return stopping || made.size() < max_rows_ahead; });
        if (stopping) return;
      }
      StatusOr<PackedRow> result = source.Row(row);
      const bool failed = !result.ok();
      {
        const std::lock_guard lock(mutex);
        made.push_back(std::move(result));
      }
      changed.notify_all();
      if (failed) return;
    }
    {
      const std::lock_guard lock(mutex);
      made.push_back(FailedPrecondition("all ", rows.size(), " rows were taken"));
    }
    changed.notify_all();
  }

  RowSource& source;
  const std::vector<int64_t> rows;
  const size_t max_rows_ahead;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<StatusOr<PackedRow>> made;  // an error is the last entry and is never taken out
  bool stopping = false;
  std::thread thread;
};

Prefetcher::Prefetcher(RowSource& source, std::vector<int64_t> rows, size_t max_rows_ahead)
    : queue_(std::make_unique<Queue>(source, std::move(rows), max_rows_ahead)) {
  ANAM_CHECK(max_rows_ahead >= 1);
  queue_->thread = std::thread([queue = queue_.get()] { queue->MakeRows(); });
  pthread_setname_np(queue_->thread.native_handle(), "row-prefetch");
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->stopping = true;
  }
  queue_->changed.notify_all();
  queue_->thread.join();
}

StatusOr<PackedRow> Prefetcher::Next() {
  std::unique_lock lock(queue_->mutex);
  queue_->changed.wait(lock, [this] { return !queue_->made.empty(); });
  if (!queue_->made.front().ok()) return queue_->made.front().status();
  StatusOr<PackedRow> row = std::move(queue_->made.front());
  queue_->made.pop_front();
  lock.unlock();
  queue_->changed.notify_all();
  return row;
}

}  // namespace anamnesis::stream
