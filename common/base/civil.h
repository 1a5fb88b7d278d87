// SPDX-License-Identifier: Apache-2.0
// Calendar arithmetic in UTC on microseconds since 1970-01-01, for cutoffs in calendar months.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace anamnesis {

inline constexpr int64_t kMicrosPerSecond = 1'000'000;
inline constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

// 00:00 UTC of a proleptic Gregorian date, or nothing where month or day do not exist.
std::optional<int64_t> MicrosFromCivil(int year, int month, int day);

// Parses "YYYY-MM-DD", optionally followed by ' ' or 'T' and "HH:MM[:SS[.ffffff]]" and an optional
// 'Z'. Nothing on any other text.
std::optional<int64_t> ParseTimestampMicros(std::string_view text);

// `time_us` moved back by whole calendar months; the day is clamped to the target month's end (31
// March − 1 month = 28 or 29 February), the time of day is kept.
int64_t SubtractMonths(int64_t time_us, int months);

}  // namespace anamnesis
