// SPDX-License-Identifier: Apache-2.0
// Ctrl-C (SIGINT, SIGTERM) as a flag, for commands that say something before they end. The second
// one ends the process at once with exit code 130.
#pragma once

namespace anamnesis::cli {

// From now on; for the rest of the process.
void WatchForInterrupt();
bool Interrupted();

}  // namespace anamnesis::cli
