// SPDX-License-Identifier: Apache-2.0
// A program of somebody else's that is run for its answer: with a deadline, after which it and its
// children are killed, and a bound on what it may say.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/process/spawn.h"

namespace anamnesis {

struct CommandOptions {
  std::vector<std::string> argv = {};         // argv[0] is the path of the program
  std::vector<std::string> environment = {};  // NAME=VALUE, the whole of it
  absl::Duration patience = absl::Seconds(30);
  size_t max_output_bytes = size_t{16} << 20;  // of standard output
  int cancel_fd = -1;                          // readable: it is not to be waited for any longer
};

struct CommandResult {
  ExitState exit;
  std::string output;
  std::string errors;  // standard error, cut after 64 KiB
};

// However it ends. kDeadlineExceeded, kAborted (by cancel_fd), kResourceExhausted (it says too
// much): then it has been killed, and what it did until then is not known. kInvalidArgument: it
// cannot be started.
StatusOr<CommandResult> RunCommand(const CommandOptions& options);

// The path of a program as a shell finds it. kNotFound: names it and what was searched.
StatusOr<std::string> FindProgram(const std::string& name, const std::string& search_path);

}  // namespace anamnesis
