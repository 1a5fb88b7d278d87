// SPDX-License-Identifier: Apache-2.0
// What the worker knows of its machine and its own process.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/io/file.h"

namespace anamnesis::agent {

int64_t UsableCores();  // by the affinity mask
// Since this process was started (by exec of the command line's program, which it replaced).
absl::Duration SinceProcessStart();

// Runs a program to its end with our environment and stderr; returns its standard output. A
// non-zero exit becomes the status of that exit code with the output as its text, or `what` where
// there is none. A whole line that `take_line` takes is not part of the output; it is called as the
// lines come.
StatusOr<std::string> RunToEnd(const std::vector<std::string>& argv, const std::string& what,
                               const std::function<bool(const std::string&)>& take_line = {});

// SIGINT, SIGTERM and SIGHUP as a descriptor that is readable once a signal came; they no longer
// end the process.
StatusOr<FileDescriptor> CatchInterrupts();

}  // namespace anamnesis::agent
