// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/sizing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::agent {
namespace {

using ::testing::HasSubstr;

SizingInput MakeInput(int64_t batch, int64_t accumulation) {
  SizingInput input;
  input.batch_size = batch;
  input.gradient_accumulation_steps = accumulation;
  input.cores = 2;
  return input;
}

TEST(Sizing, TakesTheLargestPowerOfTwoUpToSixteen) {
  const std::pair<int64_t, int64_t> rows[] = {{1, 1},  {2, 2},   {3, 2},    {7, 4},
                                              {12, 8}, {16, 16}, {1000, 16}};
  for (const auto& [batch, lanes] : rows) {
    const StatusOr<Sizing> sizing = ResolveSizing(MakeInput(batch, 1));
    ASSERT_TRUE(sizing.ok());
    EXPECT_EQ(sizing->lanes, lanes) << batch;
    EXPECT_EQ(sizing->rows_per_step, batch);
    EXPECT_EQ(sizing->ranks, 1);
  }
}

TEST(Sizing, LetsTrainingLanesOverride) {
  SizingInput input = MakeInput(4, 4);
  input.lanes = 4;
  EXPECT_EQ(ResolveSizing(input)->lanes, 4);
}

TEST(Sizing, SharesTheCoresAmongTheRanks) {
  SizingInput input = MakeInput(4, 4);
  input.cores = 8;
  input.ranks = 3;
  EXPECT_EQ(ResolveSizing(input)->threads, 2);
  input.threads_per_rank = 5;
  EXPECT_EQ(ResolveSizing(input)->threads, 5);
}

TEST(Sizing, RefusesMoreRanksThanSlots) {
  SizingInput input = MakeInput(4, 4);
  input.ranks = 5;
  const Status status = ResolveSizing(input).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status), HasSubstr("5 ranks, but this machine has 4 slots"));
  input.slots = 5;
  EXPECT_TRUE(ResolveSizing(input).ok());
}

TEST(Sizing, RefusesMoreRanksThanLanesAndNamesWhatFits) {
  SizingInput input = MakeInput(2, 1);
  input.ranks = 3;
  const Status status = ResolveSizing(input).status();
  EXPECT_EQ(ExitCodeOf(status), 6);
  EXPECT_THAT(MessageOf(status),
              HasSubstr("gradient_accumulation_steps = 4 and training.lanes: 4"));
}

}  // namespace
}  // namespace anamnesis::agent
