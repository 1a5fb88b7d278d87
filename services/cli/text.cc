// SPDX-License-Identifier: Apache-2.0
#include "services/cli/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace anamnesis::cli {
namespace {

// The next character of UTF-8 text; broken bytes count as one character each.
struct Character {
  char32_t code = 0;
  size_t bytes = 1;
};

Character CharacterAt(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const size_t bytes = first < 0x80   ? 1
                       : first < 0xC2 ? 0
                       : first < 0xE0 ? 2
                       : first < 0xF0 ? 3
                                      : 4;
  if (bytes == 1) return {first, 1};
  if (bytes == 0 || first > 0xF4 || at + bytes > text.size()) return {0xFFFD, 1};
  char32_t code = first & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xC0U) != 0x80U) return {0xFFFD, 1};
    code = code << 6U | (next & 0x3FU);
  }
  return {code, bytes};
}

size_t WidthOf(char32_t code) {
  const auto within = [code](char32_t low, char32_t high) { return code >= low && code <= high; };
  if (within(0x300, 0x36F) || within(0x200B, 0x200F) || within(0xFE00, 0xFE0F)) return 0;
  const bool wide = within(0x1100, 0x115F) || within(0x2E80, 0xA4CF) || within(0xAC00, 0xD7A3) ||
                    within(0xF900, 0xFAFF) || within(0xFE30, 0xFE6F) || within(0xFF00, 0xFF60) ||
                    within(0xFFE0, 0xFFE6) || within(0x1F300, 0x1FAFF) || within(0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

bool IsControl(char32_t code) {
  // Also the marks that turn the direction of what follows.
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xFFFD ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    width += WidthOf(character.code);
    at += character.bytes;
  }
  return width;
}

std::string Printable(std::string_view text) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    if (character.code == '\n' || character.code == '\t') {
      shown += ' ';
    } else if (IsControl(character.code)) {
      shown += '?';
    } else {
      shown += text.substr(at, character.bytes);
    }
    at += character.bytes;
  }
  return shown;
}

std::string FitWidth(std::string_view text, size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t used = 0;
  size_t at = 0;
  while (at < text.size()) {
    const Character character = CharacterAt(text, at);
    if (used + WidthOf(character.code) > width - 1) break;
    used += WidthOf(character.code);
    at += character.bytes;
  }
  return Cat(text.substr(0, at), "…");
}

std::string TableText(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(Printable(row[i])));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = Printable(row[i]);
      line += cell;
      if (i + 1 < row.size()) line.append(widths[i] - DisplayWidth(cell) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string AgeText(absl::Time then, absl::Time now) {
  if (then <= absl::UnixEpoch() || then > now + absl::Minutes(1)) return "-";
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(now - then));
  if (seconds < 120) return Cat(seconds, "s");
  if (seconds < 2 * 3600) return Cat(seconds / 60, "m");
  if (seconds < 48 * 3600) return Cat(seconds / 3600, "h");
  return Cat(seconds / 86'400, "d");
}

std::string ClockText(double seconds) {
  if (!std::isfinite(seconds) || seconds > 1e9) return "?";
  const auto total = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  char text[64];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60,
                  total % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", total / 60, total % 60);
  }
  return text;
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const double size = std::fabs(value);
  char text[64];
  if (size >= 1e6 || (size > 0 && size < 1e-2)) {
    std::snprintf(text, sizeof text, "%.3e", value);
  } else if (size >= 1000) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else {
    std::snprintf(text, sizeof text, "%.4f", value);
  }
  return text;
}

std::string GroupedText(int64_t value) {
  std::string digits = std::to_string(value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

StatusOr<absl::Duration> ParseDuration(const std::string& text) {
  absl::Duration duration;
  const bool bare = !text.empty() && text.find_first_not_of("0123456789.") == std::string::npos;
  if (!absl::ParseDuration(bare ? text + "s" : text, &duration) ||
      duration < absl::ZeroDuration() || duration == absl::InfiniteDuration() ||
      duration > absl::Hours(24 * 3650)) {
    return InvalidArgument("expected a time such as 90, 30s, 10m or 1h30m, found '",
                           Printable(text), "'");
  }
  return duration;
}

StatusOr<std::string> JobName(const std::string& text) {
  const std::string id = text.starts_with("jobs/") ? text.substr(5) : text;
  const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; };
  if (id.empty() || id.size() > 100 || !std::all_of(id.begin(), id.end(), fits)) {
    return InvalidArgument("expected a job such as 17 or jobs/17, found '", Printable(text), "'");
  }
  return Cat("jobs/", id);
}

}  // namespace anamnesis::cli
