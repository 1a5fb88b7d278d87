// SPDX-License-Identifier: Apache-2.0
#include "workers/train/loss_scaler.h"

#include <gtest/gtest.h>

#include <cmath>

namespace anamnesis::train {
namespace {

TEST(LossScaler, HalvesOnASkippedStepAndDoublesAfterTwoThousandGoodOnes) {
  LossScaler scaler;
  EXPECT_EQ(scaler.scale, 65536.0);
  scaler.Update(false);
  scaler.Update(false);
  EXPECT_EQ(scaler, (LossScaler{.scale = 16384.0, .growth_tracker = 0, .skipped_steps = 2}));
  for (int i = 0; i < 1999; ++i) scaler.Update(true);
  EXPECT_EQ(scaler, (LossScaler{.scale = 16384.0, .growth_tracker = 1999, .skipped_steps = 2}));
  scaler.Update(true);
  EXPECT_EQ(scaler, (LossScaler{.scale = 32768.0, .growth_tracker = 0, .skipped_steps = 2}));
}

TEST(LossScaler, ASkippedStepStartsTheCountAgain) {
  LossScaler scaler;
  for (int i = 0; i < 1999; ++i) scaler.Update(true);
  scaler.Update(false);
  scaler.Update(true);
  EXPECT_EQ(scaler, (LossScaler{.scale = 32768.0, .growth_tracker = 1, .skipped_steps = 1}));
}

TEST(LossScaler, IsExhaustedBelowOneAndNeverInfinite) {
  LossScaler scaler;
  for (int i = 0; i < 16; ++i) scaler.Update(false);
  EXPECT_FALSE(scaler.is_exhausted());
  scaler.Update(false);
  EXPECT_TRUE(scaler.is_exhausted());
  scaler.scale = std::ldexp(1.0, 127);
  scaler.growth_tracker = 1999;
  scaler.Update(true);
  EXPECT_EQ(scaler.scale, std::ldexp(1.0, 127));
}

}  // namespace
}  // namespace anamnesis::train
