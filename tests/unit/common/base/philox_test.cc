// SPDX-License-Identifier: Apache-2.0
#include "common/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace anamnesis {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, EqualsThePublishedVectors) {
  EXPECT_EQ(Philox4x32({0, 0}, {0, 0, 0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxStream, RepeatsForOneSeedAndDiffersForAnother) {
  PhiloxStream a(7, 1), same(7, 1), other_seed(8, 1), other_stream(7, 2);
  const uint64_t first = a.Next64();
  EXPECT_EQ(first, same.Next64());
  EXPECT_NE(first, other_seed.Next64());
  EXPECT_NE(first, other_stream.Next64());
}

TEST(PhiloxStream, BelowReachesEveryNumberAndNoMore) {
  PhiloxStream stream(1, 0);
  std::set<uint64_t> seen;
  for (int i = 0; i < 500; ++i) seen.insert(stream.Below(7));
  EXPECT_EQ(seen, (std::set<uint64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(stream.Below(1), 0U);
}

TEST(PhiloxStream, UniformIsInTheHalfOpenUnitInterval) {
  PhiloxStream stream(2, 0);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = stream.Uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(PhiloxStream, NormalHasMeanZeroAndVarianceOne) {
  PhiloxStream stream(3, 0);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20000; ++i) {
    const double value = stream.Normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / 20000, 0.0, 0.04);
  EXPECT_NEAR(squares / 20000, 1.0, 0.05);
}

}  // namespace
}  // namespace anamnesis
