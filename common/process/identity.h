// SPDX-License-Identifier: Apache-2.0
// Processes that need not be our children, named so that a number used again is not taken for them:
// a pid with the tick at which it was started, valid within one boot of the machine.
#pragma once

#include <cstdint>
#include <string>

#include "common/io/file.h"

namespace anamnesis {

struct ProcessIdentity {
  int64_t pid = 0;
  int64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  bool operator==(const ProcessIdentity&) const = default;
};

// kNotFound when there is no such process (a zombie counts as gone).
StatusOr<ProcessIdentity> IdentityOf(int64_t pid);

// Changes with every start of the machine.
StatusOr<std::string> BootId();
std::string HostName();

// Kills (SIGKILL) every other process of our process group, and those that they start meanwhile.
// Zombies stay. This process goes on, and ends with an exit code of its own.
void KillRestOfGroup();

// A process under watch. Move-only; does not kill it at the end.
class WatchedProcess {
 public:
  // kNotFound when that process is gone.
  static StatusOr<WatchedProcess> Open(const ProcessIdentity& identity);

  const ProcessIdentity& identity() const { return identity_; }
  int pidfd() const { return pidfd_.get(); }  // readable once the process has ended
  // True once it has ended; reaps it if it is our child.
  bool IsGone();
  void Signal(int signal);

 private:
  WatchedProcess(ProcessIdentity identity, FileDescriptor pidfd)
      : identity_(identity), pidfd_(std::move(pidfd)) {}

  ProcessIdentity identity_;
  FileDescriptor pidfd_;
};

}  // namespace anamnesis
