// SPDX-License-Identifier: Apache-2.0
// `run`: one gang here, in the foreground, without a coordinator. Everything is checked before
// anything is written to the output folder.
#pragma once

namespace anamnesis::agent {

// argv[0] is "run". Returns the process's exit code (docs/errors.md).
int RunCommand(int argc, char** argv);

}  // namespace anamnesis::agent
