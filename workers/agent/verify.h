// SPDX-License-Identifier: Apache-2.0
// `anamnesis-worker verify-checkpoint DIR`: is a checkpoint whole?
#pragma once

namespace anamnesis::agent {

// argv[0] = "verify-checkpoint". Prints what was verified; exit code 0, or 6 with the first damage.
int VerifyCommand(int argc, char** argv);

}  // namespace anamnesis::agent
