// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/slot_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

namespace anamnesis::coordinator {
namespace {

using ::testing::HasSubstr;

int64_t UsableCores() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// This machine has no driver; with one, service_slots_test's stand-in says what there is.
TEST(SlotDevicesOfUp, AreCpusWhereNothingElseIs) {
  UpOptions options{.device = "cpu"};
  const auto gpus = OpenSlotDevices(&options);
  ASSERT_TRUE(gpus.ok()) << gpus.status();
  EXPECT_EQ(*gpus, nullptr);
  EXPECT_EQ(options.slots, UsableCores());
  EXPECT_EQ(options.device, "cpu");
}

TEST(SlotDevicesOfUp, AreFewerWithMoreThreadsButOne) {
  UpOptions options{.threads_per_slot = 4096, .device = "cpu"};
  ASSERT_TRUE(OpenSlotDevices(&options).ok());
  EXPECT_EQ(options.slots, 1);
}

TEST(SlotDevicesOfUp, AreTheEnginesWhereThereIsOne) {
  UpOptions options{.slots = 7, .device = "cuda", .launcher = "slurm"};
  const auto gpus = OpenSlotDevices(&options);
  ASSERT_TRUE(gpus.ok()) << gpus.status();
  EXPECT_EQ(*gpus, nullptr);
  EXPECT_EQ(options.slots, 7);
  EXPECT_EQ(options.device, "cuda");
}

TEST(CpusOfSlots, AreSharesWithoutOverlap) {
  UpOptions options{.slots = UsableCores(), .pin_cpus = true};
  const auto slots = CpusOfSlots(options);
  ASSERT_TRUE(slots.ok()) << slots.status();
  ASSERT_EQ(static_cast<int64_t>(slots->size()), options.slots);
  for (size_t slot = 1; slot < slots->size(); ++slot) {
    ASSERT_EQ((*slots)[slot].size(), 1u);
    EXPECT_LT((*slots)[slot - 1].back(), (*slots)[slot].front());
  }
  options.pin_cpus = false;
  EXPECT_TRUE(CpusOfSlots(options)->empty());
  options = {.slots = 1, .threads_per_slot = 1 << 20, .pin_cpus = true};
  EXPECT_THAT(MessageOf(CpusOfSlots(options).status()), HasSubstr("fewer --slots"));
}

}  // namespace
}  // namespace anamnesis::coordinator
