// SPDX-License-Identifier: Apache-2.0
#include "common/base/civil.h"

#include <gtest/gtest.h>

namespace anamnesis {
namespace {

int64_t Day(int year, int month, int day) { return *MicrosFromCivil(year, month, day); }

TEST(Civil, CountsDaysFrom1970) {
  EXPECT_EQ(Day(1970, 1, 1), 0);
  EXPECT_EQ(Day(1969, 12, 31), -kMicrosPerDay);
  EXPECT_EQ(Day(2000, 3, 1), 11017 * kMicrosPerDay);
}

TEST(Civil, RefusesDatesThatDoNotExist) {
  EXPECT_FALSE(MicrosFromCivil(2023, 2, 29));
  EXPECT_TRUE(MicrosFromCivil(2024, 2, 29));
  EXPECT_FALSE(MicrosFromCivil(1900, 2, 29));
  EXPECT_FALSE(MicrosFromCivil(2024, 13, 1));
  EXPECT_FALSE(MicrosFromCivil(2024, 4, 31));
}

TEST(Civil, ReadsDatesAndTimes) {
  EXPECT_EQ(ParseTimestampMicros("2000-03-01"), Day(2000, 3, 1));
  EXPECT_EQ(ParseTimestampMicros("2000-03-01 12:00"), Day(2000, 3, 1) + kMicrosPerDay / 2);
  EXPECT_EQ(ParseTimestampMicros("2000-03-01T00:00:01.5Z"), Day(2000, 3, 1) + 1'500'000);
}

TEST(Civil, RefusesOtherTexts) {
  for (const char* text : {"", "2000", "2000-3-1", "01/03/2000", "2000-03-01x", "2000-03-01 25:00",
                           "2000-03-01 12", "2000-02-30", "nan"}) {
    EXPECT_FALSE(ParseTimestampMicros(text)) << text;
  }
}

TEST(Civil, MonthsClampToTheEndOfTheMonth) {
  EXPECT_EQ(SubtractMonths(Day(2023, 3, 31), 1), Day(2023, 2, 28));
  EXPECT_EQ(SubtractMonths(Day(2024, 3, 31), 1), Day(2024, 2, 29));
  EXPECT_EQ(SubtractMonths(Day(2024, 1, 15), 2), Day(2023, 11, 15));
  EXPECT_EQ(SubtractMonths(Day(1970, 1, 15), 12), Day(1969, 1, 15));
}

TEST(Civil, MonthsKeepTheTimeOfDay) {
  EXPECT_EQ(SubtractMonths(Day(2024, 5, 31) + 42, 3), Day(2024, 2, 29) + 42);
  EXPECT_EQ(SubtractMonths(Day(1969, 5, 31) + 42, 3), Day(1969, 2, 28) + 42);
}

}  // namespace
}  // namespace anamnesis
