// SPDX-License-Identifier: Apache-2.0
// A word as a POSIX shell takes it: within single quotes. Pure.
#pragma once

#include <string>

namespace anamnesis {

inline std::string ShellQuoted(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace anamnesis
