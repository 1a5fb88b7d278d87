// SPDX-License-Identifier: Apache-2.0
#include "common/base/civil.h"

#include <algorithm>
#include <chrono>

namespace anamnesis {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

// Reads exactly `width` digits at `*at`; advances.
bool ReadDigits(std::string_view text, size_t* at, size_t width, int* value) {
  if (*at + width > text.size()) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) {
    const char c = text[*at + i];
    if (c < '0' || c > '9') return false;
    *value = *value * 10 + (c - '0');
  }
  *at += width;
  return true;
}

bool ReadChar(std::string_view text, size_t* at, char expected) {
  if (*at >= text.size() || text[*at] != expected) return false;
  ++*at;
  return true;
}

// The time of day after the date, in microseconds, or nothing.
std::optional<int64_t> ParseTimeOfDay(std::string_view text, size_t at) {
  if (!ReadChar(text, &at, ' ') && !ReadChar(text, &at, 'T')) return std::nullopt;
  int hour = 0, minute = 0, second = 0;
  int64_t micros = 0;
  if (!ReadDigits(text, &at, 2, &hour) || !ReadChar(text, &at, ':') ||
      !ReadDigits(text, &at, 2, &minute)) {
    return std::nullopt;
  }
  if (ReadChar(text, &at, ':')) {
    if (!ReadDigits(text, &at, 2, &second)) return std::nullopt;
    if (ReadChar(text, &at, '.')) {
      int64_t scale = 100'000;
      size_t digits = 0;
      for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
        micros += scale * (text[at] - '0');
        scale /= 10;
      }
      if (digits == 0) return std::nullopt;
    }
  }
  ReadChar(text, &at, 'Z');
  if (at != text.size() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return ((hour * 60 + minute) * 60 + second) * kMicrosPerSecond + micros;
}

}  // namespace

std::optional<int64_t> MicrosFromCivil(int y, int m, int d) {
  const year_month_day date{year{y}, month{static_cast<unsigned>(m)},
                            day{static_cast<unsigned>(d)}};
  if (m < 1 || d < 1 || !date.ok()) return std::nullopt;
  return sys_days(date).time_since_epoch().count() * kMicrosPerDay;
}

std::optional<int64_t> ParseTimestampMicros(std::string_view text) {
  size_t at = 0;
  int y = 0, m = 0, d = 0;
  if (!ReadDigits(text, &at, 4, &y) || !ReadChar(text, &at, '-') || !ReadDigits(text, &at, 2, &m) ||
      !ReadChar(text, &at, '-') || !ReadDigits(text, &at, 2, &d)) {
    return std::nullopt;
  }
  const std::optional<int64_t> midnight = MicrosFromCivil(y, m, d);
  if (!midnight.has_value() || at == text.size()) return midnight;
  const std::optional<int64_t> time_of_day = ParseTimeOfDay(text, at);
  if (!time_of_day.has_value()) return std::nullopt;
  return *midnight + *time_of_day;
}

int64_t SubtractMonths(int64_t time_us, int months) {
  const int64_t day_count =
      time_us >= 0 ? time_us / kMicrosPerDay : (time_us - kMicrosPerDay + 1) / kMicrosPerDay;
  const int64_t time_of_day = time_us - day_count * kMicrosPerDay;
  const year_month_day date{sys_days{days{day_count}}};
  const auto target = date.year() / date.month() - std::chrono::months{months};
  const year_month_day last{target / std::chrono::last};
  const year_month_day moved{target.year(), target.month(), std::min(date.day(), last.day())};
  return sys_days(moved).time_since_epoch().count() * kMicrosPerDay + time_of_day;
}

}  // namespace anamnesis
