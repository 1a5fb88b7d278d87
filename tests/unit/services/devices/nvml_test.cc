// SPDX-License-Identifier: Apache-2.0
#include "services/devices/nvml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/temporary_folder.h"

namespace anamnesis::devices {
namespace {

using ::testing::HasSubstr;

// On the library that stands in for the driver's.
class NvmlTest : public ::testing::Test {
 protected:
  NvmlTest() { ::setenv("STAND_IN_NVML", folder_.File("gpus").c_str(), 1); }
  ~NvmlTest() override { ::unsetenv("STAND_IN_NVML"); }
  void Say(const std::string& gpus) { folder_.Write("gpus", gpus); }

  TemporaryFolder folder_;
};

TEST_F(NvmlTest, TellsOfGpusAndTheirProcesses) {
  Say("GPU-aa H200 81920 81000\nGPU-bb H200 81920 1000 4711:60000 4712:20000\n");
  const auto nvml = Nvml::Load();
  ASSERT_TRUE(nvml.ok()) << nvml.status();
  const auto gpus = (*nvml)->List();
  ASSERT_TRUE(gpus.ok()) << gpus.status();
  ASSERT_EQ(gpus->size(), 2u);
  EXPECT_EQ((*gpus)[0].uuid, "GPU-aa");
  EXPECT_EQ((*gpus)[0].memory_bytes, int64_t{80} << 30);
  EXPECT_TRUE((*gpus)[0].processes.empty());
  EXPECT_EQ((*gpus)[1].index, 1);
  EXPECT_EQ((*gpus)[1].name, "H200");
  EXPECT_EQ((*gpus)[1].free_bytes, int64_t{1000} << 20);
  ASSERT_EQ((*gpus)[1].processes.size(), 2u);
  EXPECT_EQ((*gpus)[1].processes[1].pid, 4712);
  EXPECT_EQ((*gpus)[1].processes[1].memory_bytes, int64_t{20000} << 20);
}

TEST_F(NvmlTest, ReadsMoreProcessesThanItHadRoomFor) {
  std::string line = "GPU-aa H200 81920 1000";
  for (int pid = 1; pid <= 100; ++pid) line += Cat(" ", pid, ":1");
  Say(line + "\n");
  const auto nvml = Nvml::Load();
  ASSERT_TRUE(nvml.ok()) << nvml.status();
  EXPECT_EQ((*nvml)->List()->at(0).processes.size(), 100u);
}

TEST_F(NvmlTest, RepeatsTheDriversWords) {
  EXPECT_EQ(Nvml::Load().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(Nvml::Load().status()), HasSubstr("Driver Not Loaded"));
  Say("GPU-aa H200 81920 1000\nGPU-bb H200 81920 1000 0:0\n");
  const auto nvml = Nvml::Load();
  ASSERT_TRUE(nvml.ok()) << nvml.status();
  EXPECT_THAT(MessageOf((*nvml)->List().status()), HasSubstr("GPU 1: GPU is lost"));
}

TEST(VisibleGpus, AreThoseThatCudaWouldTake) {
  const std::vector<Gpu> gpus = {{.index = 0, .uuid = "GPU-aa11"},
                                 {.index = 1, .uuid = "GPU-bb22"},
                                 {.index = 2, .uuid = "GPU-cc33"}};
  const auto uuids = [&](const char* visible) {
    std::string text;
    for (const Gpu& gpu : Visible(gpus, visible)) text += gpu.uuid + " ";
    return text;
  };
  EXPECT_EQ(uuids(nullptr), "GPU-aa11 GPU-bb22 GPU-cc33 ");
  EXPECT_EQ(uuids("2,0"), "GPU-cc33 GPU-aa11 ");
  EXPECT_EQ(uuids("GPU-bb22,0"), "GPU-bb22 GPU-aa11 ");
  EXPECT_EQ(uuids("GPU-b"), "GPU-bb22 ");
  EXPECT_EQ(uuids("1,7,0"), "GPU-bb22 ");
  for (const char* none : {"", "-1", "x", "GPU-", ","}) EXPECT_EQ(uuids(none), "") << none;
}

}  // namespace
}  // namespace anamnesis::devices
