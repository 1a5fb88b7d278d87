// SPDX-License-Identifier: Apache-2.0
// An exclusive lock on a path that lives as long as any process holds the descriptor: flock(2) on a
// file, inherited by child processes, so that a gang whose parent was killed still holds it until
// its last rank is gone.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/io/file.h"

namespace anamnesis {

// Takes the lock, waiting up to `patience`. kAlreadyExists (exit 5) when another process holds it.
// The descriptor is inheritable (no close-on-exec).
StatusOr<FileDescriptor> LockPath(const std::string& path, absl::Duration patience);

}  // namespace anamnesis
