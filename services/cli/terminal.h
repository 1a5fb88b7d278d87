// SPDX-License-Identifier: Apache-2.0
// What goes to people: errors and notes on standard error, in colour only on a terminal and never
// with NO_COLOR set to a non-empty value or TERM=dumb.
#pragma once

#include <string>

#include "common/base/status.h"

namespace anamnesis::cli {

inline constexpr int kExitUsage = 2;

// Prints "error: TEXT" and returns the exit code of the status.
int FailWith(const Status& status);
// Prints "error: TEXT" and where help is; returns kExitUsage.
int FailUsage(const std::string& text, const std::string& help_command);
void PrintNote(const std::string& text);
void PrintWarning(const std::string& text);
// A note of a job, as a warning or a tip where it is advice (config::LineOf).
void PrintRemark(const std::string& note);

// Whether lines may be drawn anew and coloured there: a terminal, no NO_COLOR, not TERM=dumb.
bool MayDraw(int fd);
// Of the terminal now; 80 x 24 where it does not say.
size_t TerminalColumns(int fd);
size_t TerminalRows(int fd);
// The user's locale has no Unicode.
bool AsciiOnly();

}  // namespace anamnesis::cli
