// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"

#include <gtest/gtest.h>

namespace {

TEST(CheckDeathTest, NamesTheBrokenExpression) {
  EXPECT_DEATH(ANAM_CHECK(1 + 1 == 3), "1 \\+ 1 == 3");
}

TEST(Check, LetsTheTruthPass) { ANAM_CHECK(1 + 1 == 2); }

}  // namespace
