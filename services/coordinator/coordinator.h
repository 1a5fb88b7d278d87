// SPDX-License-Identifier: Apache-2.0
// The coordinator as a whole: its folder, its parts, its servers, its signals.
#pragma once

#include <functional>
#include <string>

#include "services/coordinator/up_options.h"

namespace anamnesis::coordinator {

// Serves until it is told to end: the first SIGINT or SIGHUP parks the running jobs, the second
// kills them; SIGTERM ends the coordinator alone, workers go on and come back to the next one.
// `on_ready` is called once it serves. kAlreadyExists: another coordinator has the folder.
Status RunCoordinator(const UpOptions& options, const std::string& version,
                      const std::function<void()>& on_ready);

// Runs it in a process of its own that survives the logout; returns when it serves, or with its
// error.
Status DetachCoordinator(const UpOptions& options, const std::string& version);

}  // namespace anamnesis::coordinator
