// SPDX-License-Identifier: Apache-2.0
#include "common/io/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "absl/time/clock.h"

namespace anamnesis {

StatusOr<FileDescriptor> LockPath(const std::string& path, absl::Duration patience) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT, 0666));
  if (!file.valid())
    return InvalidArgument(path, ": cannot open the lock file: ", ErrnoText(errno));
  const absl::Time deadline = absl::Now() + patience;
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return Internal(path, ": cannot lock: ", ErrnoText(errno));
    }
    if (absl::Now() >= deadline) {
      return AlreadyExists(path, ": held by another process");
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return file;
}

}  // namespace anamnesis
