// SPDX-License-Identifier: Apache-2.0
#include "common/base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace anamnesis {
namespace {

// RFC 3720, appendix B.4, and the check value of the polynomial.
TEST(Crc32c, EqualsThePublishedValues) {
  const std::string zeros(32, '\0');
  const std::string ones(32, '\xff');
  EXPECT_EQ(Crc32c("123456789", 9), 0xE3069283U);
  EXPECT_EQ(Crc32c(zeros.data(), zeros.size()), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(ones.data(), ones.size()), 0x62A8AB43U);
}

TEST(Crc32c, ContinuesOverPieces) {
  for (size_t cut = 0; cut <= 9; ++cut) {
    EXPECT_EQ(Crc32c("123456789" + cut, 9 - cut, Crc32c("123456789", cut)), 0xE3069283U) << cut;
  }
}

TEST(Crc32c, OfNothingIsZero) { EXPECT_EQ(Crc32c(nullptr, 0), 0U); }

}  // namespace
}  // namespace anamnesis
