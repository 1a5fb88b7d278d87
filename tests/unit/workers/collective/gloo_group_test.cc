// SPDX-License-Identifier: Apache-2.0
// Gangs of real processes over Gloo, meeting through the real RankChannel and ChannelStore; the
// test plays the worker.
#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/workers/collective/fake_worker.h"
#include "workers/collective/cuda_module.h"
#include "workers/collective/group.h"
#include "workers/train/rank_channel.h"

namespace anamnesis::collective {
namespace {

using Clock = std::chrono::steady_clock;

GroupOptions Options(int rank, int num_ranks) {
  return {.rank = rank,
          .num_ranks = num_ranks,
          .prefix = "run/1/",
          .interface = "",
          .timeout = std::chrono::seconds(60)};
}

class GlooGroup : public testing::TestWithParam<int> {};

TEST_P(GlooGroup, GathersEveryRanksTensorInRankOrder) {
  const int num_ranks = GetParam();
  FakeWorker worker(num_ranks, [&](int rank, int fd) {
    const auto channel = std::make_shared<train::RankChannel>(fd);
    const auto group = MakeGlooGroup(channel, Options(rank, num_ranks));
    const auto all = group->AllGather(at::full({3}, rank + 1.0, at::kDouble));
    if (static_cast<int>(all.size()) != num_ranks) return 2;
    for (int peer = 0; peer < num_ranks; ++peer) {
      if (!all[peer].equal(at::full({3}, peer + 1.0, at::kDouble))) return 3;
    }
    at::Tensor sum = at::ones({5}, at::kFloat);
    group->AllReduceSum(sum);
    group->Barrier();
    return sum.equal(at::full({5}, num_ranks, at::kFloat)) ? 0 : 4;
  });
  EXPECT_EQ(worker.Serve(), std::vector<int>(num_ranks, 0));
}

INSTANTIATE_TEST_SUITE_P(Ranks, GlooGroup, testing::Values(1, 2, 3, 4));

TEST(GlooGroupFault, SurvivorsOfAKilledPeerThrowWithinASecond) {
  FakeWorker worker(3, [](int rank, int fd) {
    const auto channel = std::make_shared<train::RankChannel>(fd);
    const auto group = MakeGlooGroup(channel, Options(rank, 3));
    const at::Tensor big = at::ones({1 << 20}, at::kFloat);
    group->AllGather(big);
    channel->Report("ready", Json::object()).IgnoreError();
    try {
      for (;;) group->AllGather(big);
    } catch (const c10::DistError&) {
      channel->Report("threw", Json::object()).IgnoreError();
      return 7;
    }
  });
  int ready = 0;
  Clock::time_point killed;
  std::vector<double> seconds;
  const std::vector<int> codes = worker.Serve([&](int, const Json& message) {
    if (message["kind"] == "ready" && ++ready == 3) {
      killed = Clock::now();
      worker.Kill(2);
    } else if (message["kind"] == "threw") {
      seconds.push_back(std::chrono::duration<double>(Clock::now() - killed).count());
    }
  });
  EXPECT_EQ(codes, (std::vector<int>{7, 7, -SIGKILL}));
  ASSERT_EQ(seconds.size(), 2u);
  for (const double s : seconds) EXPECT_LT(s, 1.0);
}

TEST(SingleGroup, ReturnsWhatItIsGiven) {
  const auto group = MakeSingleGroup();
  const at::Tensor input = at::arange(4, at::kFloat);
  EXPECT_EQ(group->size(), 1);
  EXPECT_TRUE(group->AllGather(input).at(0).equal(input));
}

TEST(CudaModule, IsRefusedByNameWhereDriverOrModuleIsMissing) {
  const StatusOr<CudaModule> module = LoadCudaModule();
  if (module.ok()) return;  // a machine with a GPU and the module
  EXPECT_EQ(module.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(module.status()).find("device cuda: "), std::string::npos);
  EXPECT_NE(ExitCodeOf(module.status()), 0);
}

}  // namespace
}  // namespace anamnesis::collective
