// SPDX-License-Identifier: Apache-2.0
#include "common/process/identity.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <vector>

namespace anamnesis {

StatusOr<ProcessIdentity> IdentityOf(int64_t pid) {
  const StatusOr<std::string> stat = ReadFile(Cat("/proc/", pid, "/stat"));
  // proc(5): the name in parentheses may hold anything; fields 3, 4, … follow the last ')'.
  if (!stat.ok() || stat->rfind(')') == std::string::npos) {
    return NotFound("no process ", pid);
  }
  std::istringstream fields(stat->substr(stat->rfind(')') + 1));
  std::string state, skipped;
  fields >> state;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  ProcessIdentity identity{.pid = pid};
  fields >> identity.start_ticks;
  if (!fields || state == "Z" || state == "X") return NotFound("no process ", pid);
  return identity;
}

StatusOr<std::string> BootId() {
  ANAM_ASSIGN_OR_RETURN(std::string id, ReadFile("/proc/sys/kernel/random/boot_id"));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

std::string HostName() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "localhost";
  return name;
}

void KillRestOfGroup() {
  const pid_t group = ::getpgrp(), self = ::getpid();
  for (bool found = true; found;) {
    found = false;
    const StatusOr<std::vector<std::string>> names = ListDirectory("/proc");
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      const pid_t pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
      // Not a zombie: IdentityOf takes it for gone.
      if (pid <= 0 || pid == self || ::getpgid(pid) != group || !IdentityOf(pid).ok()) continue;
      found = ::kill(pid, SIGKILL) == 0 || found;
    }
  }
}

StatusOr<WatchedProcess> WatchedProcess::Open(const ProcessIdentity& identity) {
  FileDescriptor pidfd(
      static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(identity.pid), 0)));
  if (!pidfd.valid()) return NotFound("no process ", identity.pid, ": ", ErrnoText(errno));
  // Looked at after the descriptor was opened: from here on the pid cannot become another's.
  ANAM_ASSIGN_OR_RETURN(const ProcessIdentity found, IdentityOf(identity.pid));
  if (found != identity) return NotFound("process ", identity.pid, " is another one now");
  return WatchedProcess(identity, std::move(pidfd));
}

bool WatchedProcess::IsGone() {
  pollfd fd{pidfd_.get(), POLLIN, 0};
  if (::poll(&fd, 1, 0) <= 0) return false;
  ::waitpid(static_cast<pid_t>(identity_.pid), nullptr, WNOHANG);
  return true;
}

void WatchedProcess::Signal(int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
}

}  // namespace anamnesis
