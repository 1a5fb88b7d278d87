// SPDX-License-Identifier: Apache-2.0
// ANAM_CHECK: an invariant of our own code. Never on input, files, peers, environment or device
// counts.
#pragma once

namespace anamnesis {
// Prints file, line and expression to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);
}  // namespace anamnesis

#define ANAM_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::anamnesis::CheckFailed(__FILE__, __LINE__, #expression))
