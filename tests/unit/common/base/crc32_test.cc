// SPDX-License-Identifier: Apache-2.0
#include "common/base/crc32.h"

#include <gtest/gtest.h>

namespace anamnesis {
namespace {

TEST(Crc32, EqualsTheCheckValueOfItsCatalogueInOneStepAndInTwo) {
  EXPECT_EQ(Crc32("123456789", 9), 0xCBF43926u);
  EXPECT_EQ(Crc32("56789", 5, Crc32("1234", 4)), 0xCBF43926u);
}

}  // namespace
}  // namespace anamnesis
