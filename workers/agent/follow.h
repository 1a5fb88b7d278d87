// SPDX-License-Identifier: Apache-2.0
// The worker of a node that does not lead: runs ranks for the gang until the coordinator has no use
// for it any more.
#pragma once

#include "workers/agent/session.h"

namespace anamnesis::agent {

// Takes over the process's signals: before other threads are started. A SIGTERM has the whole gang
// save and stop.
Status Follow(SessionOptions options);

}  // namespace anamnesis::agent
