// SPDX-License-Identifier: Apache-2.0
// Makes the rows a rank needs ahead of time, in order, in one thread of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/status.h"
#include "workers/stream/batch.h"
#include "workers/stream/row_source.h"

namespace anamnesis::stream {

// While a Prefetcher lives, `source` must not be given another epoch and Row() must not be called
// on it by anyone else; the const members of RowSource may be. Next() is called from one thread.
// Destruction stops the thread after the row it is making and joins it.
class Prefetcher {
 public:
  // Rows of the source's current epoch, in the order they are handed out. Holds at most
  // `max_rows_ahead` (≥ 1) finished rows.
  Prefetcher(RowSource& source, std::vector<int64_t> rows, size_t max_rows_ahead);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The next row; waits until it is made. An error comes in its row's place, after which nothing
  // more is made and every further call returns the same error. kFailedPrecondition after the last
  // row.
  StatusOr<PackedRow> Next();

 private:
  struct Queue;
  std::unique_ptr<Queue> queue_;
};

}  // namespace anamnesis::stream
