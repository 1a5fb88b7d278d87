// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/lane_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/base/philox.h"

namespace anamnesis::quant {
namespace {

TEST(LaneSum, WholeNumbersAreAddedExactly) {
  for (const size_t size : {0, 1, 3, 4, 7, 8, 9, 31, 32, 33, 511, 512, 513, 4096, 5000}) {
    std::vector<float> values(size);
    for (size_t i = 0; i < size; ++i) values[i] = static_cast<float>(i % 7);
    float expected = 0;
    for (const float value : values) expected += value;
    EXPECT_EQ(LaneSum(values), expected) << size;
  }
}

TEST(LaneSum, ErrorOfManyNumbersIsOfAFewRoundings) {
  PhiloxStream random(5, 0);
  std::vector<float> values(1 << 18);
  double expected = 0;
  for (float& value : values) {
    value = static_cast<float>(random.Uniform());
    expected += value;
  }
  EXPECT_LE(std::fabs(LaneSum(values) - expected) / expected, 1e-6);
}

}  // namespace
}  // namespace anamnesis::quant
