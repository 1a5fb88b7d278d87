// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/small_float.h"

#include <gtest/gtest.h>

namespace anamnesis::quant {
namespace {

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(ToBFloat16(1.0f), 0x3F80);
  EXPECT_EQ(ToBFloat16(1.0f + 0x1p-8f), 0x3F80);  // a tie, to even
  EXPECT_EQ(ToBFloat16(1.0f + 3 * 0x1p-8f), 0x3F82);
  EXPECT_EQ(ToBFloat16(1.0f + 0x1p-8f + 0x1p-20f), 0x3F81);
  EXPECT_EQ(ToBFloat16(-0.0f), 0x8000);
}

TEST(BFloat16, EveryNumberSurvivesTheWayThere) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = FromBFloat16(static_cast<uint16_t>(bits));
    if (value != value) continue;
    ASSERT_EQ(ToBFloat16(value), bits);
  }
}

TEST(Half, KnownNumbersAreRead) {
  EXPECT_EQ(FromHalf(0x3C00), 1.0f);
  EXPECT_EQ(FromHalf(0xC000), -2.0f);
  EXPECT_EQ(FromHalf(0x7BFF), 65504.0f);
  EXPECT_EQ(FromHalf(0x0001), 0x1p-24f);
  EXPECT_EQ(FromHalf(0x83FF), -1023 * 0x1p-24f);
  EXPECT_EQ(FromHalf(0x0400), 0x1p-14f);
  EXPECT_TRUE(std::signbit(FromHalf(0x8000)));
  EXPECT_TRUE(std::isinf(FromHalf(0x7C00)));
  EXPECT_TRUE(std::isnan(FromHalf(0x7E00)));
}

}  // namespace
}  // namespace anamnesis::quant
