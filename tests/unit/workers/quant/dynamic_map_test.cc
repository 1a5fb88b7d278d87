// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/dynamic_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace anamnesis::quant {
namespace {

TEST(DynamicMap, AscendsFromMinusNearlyOneToOne) {
  const auto& map = DynamicMap();
  EXPECT_TRUE(std::is_sorted(map.begin(), map.end()));
  EXPECT_EQ(std::adjacent_find(map.begin(), map.end()), map.end());
  EXPECT_EQ(map.back(), 1.0f);
  EXPECT_EQ(map[127], 0.0f);
  EXPECT_NEAR(map.front(), -0.992969, 1e-6);
  for (size_t i = 0; i < 127; ++i) ASSERT_EQ(map[i], -map[254 - i]) << i;
}

TEST(DynamicBlock, ScaleIsTheLargestMagnitudeAndValuesGoToANearStep) {
  std::vector<float> values;
  for (int i = -100; i <= 100; ++i) values.push_back(static_cast<float>(i) * 0.03f);
  std::vector<uint8_t> codes(values.size());
  const float scale = EncodeDynamicBlock(values, codes.data());
  EXPECT_EQ(scale, 3.0f);
  for (size_t i = 0; i < values.size(); ++i) {
    const float back = DynamicMap()[codes[i]] * scale;
    ASSERT_LE(std::fabs(back - values[i]), 3.0f * 0.0071f) << values[i];
  }
  EXPECT_EQ(codes.back(), 255);
}

TEST(DynamicBlock, OfZerosHasScaleZero) {
  std::vector<uint8_t> codes(3, 9);
  EXPECT_EQ(EncodeDynamicBlock(std::vector<float>(3, 0.0f), codes.data()), 0.0f);
  EXPECT_EQ(codes, std::vector<uint8_t>(3, 0));
}

TEST(DynamicBlock, OfMagnitudesWithoutAReciprocalStaysDefined) {
  const std::vector<float> values = {1e-44f, 0.0f, -1e-44f};
  std::vector<uint8_t> codes(3);
  EXPECT_EQ(EncodeDynamicBlock(values, codes.data()), 1e-44f);
  EXPECT_EQ(codes, (std::vector<uint8_t>{255, 0, 0}));
}

}  // namespace
}  // namespace anamnesis::quant
