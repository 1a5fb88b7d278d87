// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/seats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::Grant GrantOf(int ranks, int ranks_per_node) {
  v1::Grant grant;
  grant.set_ranks(ranks);
  grant.set_ranks_per_node(ranks_per_node);
  grant.set_threads_per_rank(2);
  return grant;
}

TEST(Seats, OnCpusHaveThreadsAlone) {
  const auto seats = SeatsOf(GrantOf(2, 2), {.cpus = {0, 1, 2, 3}, .visible_gpus = "0,1"});
  ASSERT_EQ(seats.size(), 2u);
  EXPECT_EQ(seats[1].threads, 2);
  EXPECT_EQ(seats[1].gpu, "");
  EXPECT_THAT(seats[1].cpus, IsEmpty());
}

TEST(Seats, HaveTheGpusThatTheCoordinatorNames) {
  v1::Grant grant = GrantOf(2, 2);
  grant.set_device("cuda");
  grant.add_gpus("GPU-aa");
  grant.add_gpus("GPU-bb");
  const auto seats = SeatsOf(grant, {.cpus = {}, .visible_gpus = "7,8"});
  EXPECT_EQ(seats[0].gpu, "GPU-aa");
  EXPECT_EQ(seats[1].gpu, "GPU-bb");
}

TEST(Seats, TakeTheGpusThatTheEngineGaveInTurn) {
  v1::Grant grant = GrantOf(3, 2);
  grant.set_device("cuda");
  const auto listed = SeatsOf(grant, {.cpus = {}, .visible_gpus = "GPU-x,5"});
  EXPECT_EQ(listed[0].gpu, "GPU-x");
  EXPECT_EQ(listed[1].gpu, "5");
  EXPECT_EQ(listed[2].gpu, "GPU-x");  // the first rank of the other node
  const auto unlisted = SeatsOf(grant, {.cpus = {}, .visible_gpus = nullptr});
  EXPECT_EQ(unlisted[1].gpu, "1");
  EXPECT_EQ(SeatsOf(grant, {.cpus = {}, .visible_gpus = "3"})[1].gpu, "none");
}

TEST(Seats, ShareTheWorkersCpusOut) {
  v1::Grant grant = GrantOf(3, 2);
  grant.set_pin_cpus(true);
  const auto seats = SeatsOf(grant, {.cpus = {4, 5, 6, 7, 8}});
  EXPECT_THAT(seats[0].cpus, ElementsAre(4, 5));
  EXPECT_THAT(seats[1].cpus, ElementsAre(6, 7, 8));
  EXPECT_THAT(seats[2].cpus, ElementsAre(4, 5, 6, 7, 8));  // alone on its node
  EXPECT_THAT(SeatsOf(grant, {.cpus = {4}})[0].cpus, IsEmpty());
}

}  // namespace
}  // namespace anamnesis::agent
