// SPDX-License-Identifier: Apache-2.0
#include "services/devices/slot_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/temporary_folder.h"

namespace anamnesis::devices {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SlotDevices, SeeWhoIsOnTheirGpu) {
  const int64_t here = ::getpid();
  const std::vector<Gpu> gpus = {
      {.index = 0, .uuid = "GPU-aa", .name = "H200", .memory_bytes = 100, .free_bytes = 90},
      {.index = 1,
       .uuid = "GPU-bb",
       .name = "H200",
       .memory_bytes = 100,
       .processes = {{.pid = here, .memory_bytes = 7}, {.pid = 1 << 30, .memory_bytes = 8}}}};
  const core::SlotsSeen seen = SightOf(gpus, {"GPU-bb", "GPU-cc"});
  ASSERT_EQ(seen.slots.size(), 2u);
  EXPECT_EQ(seen.slots[0].device, "GPU 1 (H200)");
  EXPECT_EQ(seen.slots[0].fault, "");
  ASSERT_EQ(seen.slots[0].processes.size(), 2u);
  EXPECT_EQ(seen.slots[0].processes[0].session, ::getsid(0));
  EXPECT_THAT(seen.slots[0].processes[0].name, HasSubstr("devices_test"));
  EXPECT_EQ(seen.slots[0].processes[1].session, 0);  // there is no such process
  EXPECT_EQ(seen.slots[0].processes[1].name, "");
  EXPECT_EQ(seen.slots[1].fault, "GPU-cc is not there any more");
}

TEST(SlotDevices, AllHaveTheFaultOfTheDriver) {
  const core::SlotsSeen seen = SightOf(FailedPrecondition("GPU 0: GPU is lost"), {"GPU-aa"});
  EXPECT_EQ(seen.slots[0].fault, "GPU 0: GPU is lost");
}

TEST(SlotDevices, AreAsManyAsAskedFor) {
  const TemporaryFolder folder;
  ::setenv("STAND_IN_NVML", folder.Write("gpus", "GPU-aa H 10 10\nGPU-bb H 10 10\n").c_str(), 1);
  EXPECT_THAT((*SlotDevices::Open(0))->uuids(), ElementsAre("GPU-aa", "GPU-bb"));
  EXPECT_THAT((*SlotDevices::Open(1))->uuids(), ElementsAre("GPU-aa"));
  EXPECT_THAT(MessageOf(SlotDevices::Open(3).status()), HasSubstr("this machine has 2"));
  ::setenv("CUDA_VISIBLE_DEVICES", "1", 1);
  EXPECT_THAT((*SlotDevices::Open(0))->uuids(), ElementsAre("GPU-bb"));
  EXPECT_THAT(MessageOf(SlotDevices::Open(2).status()), HasSubstr("CUDA_VISIBLE_DEVICES leaves"));
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  ::unsetenv("STAND_IN_NVML");
}

}  // namespace
}  // namespace anamnesis::devices
