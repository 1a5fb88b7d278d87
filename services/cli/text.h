// SPDX-License-Identifier: Apache-2.0
// Text for people: columns, durations, numbers, names as users type them. Thread-safe (pure).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"

namespace anamnesis::cli {

// Columns that a terminal gives the UTF-8 text: 0 for combining marks, 2 for East Asian wide ones.
size_t DisplayWidth(std::string_view text);

// One line without control characters (they would steer the terminal): each becomes '?', a line
// break a space.
std::string Printable(std::string_view text);

// At most `width` columns, the cut marked by '…'.
std::string FitWidth(std::string_view text, size_t width);

// Columns as wide as their widest cell, two spaces between them, the last one not padded; a line
// each. `rows[0]` is the head. Cells are made Printable.
std::string TableText(const std::vector<std::vector<std::string>>& rows);

// "45s", "12m", "3h", "5d": how old something is. "-" for a time before the epoch or after `now`
// by more than a minute.
std::string AgeText(absl::Time then, absl::Time now);
// "1:02:03", "4:05".
std::string ClockText(double seconds);
// "0.0002134" as "2.134e-04", "2.34113" as "2.3411"; "nan", "inf".
std::string NumberText(double value);
// "1,234,567".
std::string GroupedText(int64_t value);

// "90" (seconds), "30s", "10m", "1h30m", "500ms". kInvalidArgument for anything else, negative or
// endless ones.
StatusOr<absl::Duration> ParseDuration(const std::string& text);

// "17" and "jobs/17" are jobs/17. kInvalidArgument for what cannot be a job's name.
StatusOr<std::string> JobName(const std::string& text);

}  // namespace anamnesis::cli
