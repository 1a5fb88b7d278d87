// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/prefetch.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <numeric>

namespace anamnesis::stream {
namespace {

// Row r is the single id r; row `bad_row` is an error.
class CountingSource final : public RowSource {
 public:
  const StreamTotals& totals() const override { return totals_; }
  Status SelectEpoch(int64_t) override { return absl::OkStatus(); }
  int64_t num_rows() const override { return 1'000'000; }
  int64_t RowTokens(int64_t) const override { return 1; }
  int64_t RowLabels(int64_t) const override { return 0; }

  StatusOr<PackedRow> Row(int64_t row) override {
    {
      const std::lock_guard lock(mutex_);
      ++num_made_;
    }
    changed_.notify_all();
    if (row == bad_row) return DataLoss("row ", row);
    PackedRow packed;
    packed.ids = {static_cast<int32_t>(row)};
    return packed;
  }

  void WaitUntilMade(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return num_made_ >= count; });
  }
  int num_made() {
    const std::lock_guard lock(mutex_);
    return num_made_;
  }

  int64_t bad_row = -1;

 private:
  StreamTotals totals_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int num_made_ = 0;
};

TEST(Prefetcher, HandsOutRowsInTheOrderAskedFor) {
  CountingSource source;
  std::vector<int64_t> rows(2000);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i * 7 % 2000);
  Prefetcher prefetcher(source, rows, 3);
  for (const int64_t row : rows) {
    const StatusOr<PackedRow> packed = prefetcher.Next();
    ASSERT_TRUE(packed.ok());
    ASSERT_EQ(packed->ids.front(), row);
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(prefetcher.Next().status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(Prefetcher, StaysWithinItsBoundAndStopsWithRowsLeft) {
  CountingSource source;
  std::vector<int64_t> rows(1'000'000);
  std::iota(rows.begin(), rows.end(), 0);
  {
    Prefetcher prefetcher(source, rows, 4);
    source.WaitUntilMade(4);
    ASSERT_TRUE(prefetcher.Next().ok());
    source.WaitUntilMade(5);
  }
  EXPECT_EQ(source.num_made(), 5) << "four ahead of the one taken, then the end";
}

TEST(Prefetcher, DeliversAnErrorInItsRowsPlaceAndAgain) {
  CountingSource source;
  source.bad_row = 2;
  Prefetcher prefetcher(source, {0, 1, 2, 3}, 8);
  EXPECT_TRUE(prefetcher.Next().ok());
  EXPECT_TRUE(prefetcher.Next().ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(prefetcher.Next().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(Prefetcher, OfNoRowsEndsAtOnce) {
  CountingSource source;
  Prefetcher prefetcher(source, {}, 1);
  EXPECT_EQ(prefetcher.Next().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace anamnesis::stream
