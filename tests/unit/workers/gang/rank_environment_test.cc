// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/rank_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace anamnesis::gang {
namespace {

using ::testing::Contains;
using ::testing::Not;
using ::testing::StartsWith;

TEST(RankEnvironment, SetsThreadsAndPassesNothingSecret) {
  ::setenv("HF_TOKEN", "secret", 1);
  ::setenv("WANDB_API_KEY", "secret", 1);
  ::setenv("OMP_NUM_THREADS", "9", 1);
  const std::vector<std::string> environment = RankEnvironment({.threads = 2});
  ::unsetenv("HF_TOKEN");
  ::unsetenv("WANDB_API_KEY");
  ::unsetenv("OMP_NUM_THREADS");
  EXPECT_THAT(environment, Contains("OMP_NUM_THREADS=2"));
  EXPECT_THAT(environment, Not(Contains("OMP_NUM_THREADS=9")));
  EXPECT_THAT(environment, Contains("OMP_WAIT_POLICY=passive"));
  EXPECT_THAT(environment, Contains(StartsWith("PATH=")));
  EXPECT_THAT(environment, Not(Contains(::testing::HasSubstr("secret"))));
}

TEST(RankEnvironment, HasOneGpuAndTheInterface) {
  ::setenv("CUDA_VISIBLE_DEVICES", "0,1,2", 1);
  const std::vector<std::string> on_gpu = RankEnvironment({.gpu = "GPU-0a1b", .interface = "ib0"});
  const std::vector<std::string> on_cpu = RankEnvironment({});
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_THAT(on_gpu, Contains("CUDA_VISIBLE_DEVICES=GPU-0a1b"));
  EXPECT_THAT(on_gpu, Not(Contains("CUDA_VISIBLE_DEVICES=0,1,2")));
  EXPECT_THAT(on_gpu, Contains("NCCL_SOCKET_IFNAME=ib0"));
  EXPECT_THAT(on_cpu, Contains("CUDA_VISIBLE_DEVICES=0,1,2"));
}

}  // namespace
}  // namespace anamnesis::gang
