// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "common/process/spawn.h"

extern char** environ;

namespace anamnesis::agent {

int64_t UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

absl::Duration SinceProcessStart() {
  // proc(5): field 22 of /proc/self/stat is the start in clock ticks after boot; fields 3… follow
  // the last ')'.
  const StatusOr<std::string> stat = ReadFile("/proc/self/stat");
  if (!stat.ok() || stat->rfind(')') == std::string::npos) return absl::ZeroDuration();
  std::istringstream fields(stat->substr(stat->rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  double start_ticks = 0;
  fields >> start_ticks;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now) -
         absl::Seconds(start_ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

StatusOr<std::string> RunToEnd(const std::vector<std::string>& argv, const std::string& what,
                               const std::function<bool(const std::string&)>& take_line) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ResourceExhausted("pipe: ", ErrnoText(errno));
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  SpawnOptions options{.argv = argv, .stdout_fd = writing.get(), .own_process_group = false};
  for (char** entry = environ; *entry != nullptr; ++entry) options.environment.emplace_back(*entry);
  ANAM_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn(options));
  writing.Reset();
  std::string output;
  size_t line_begin = 0;  // of what is not looked at yet
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(reading.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    output.append(buffer, static_cast<size_t>(got));
    if (!take_line) continue;
    for (size_t end; (end = output.find('\n', line_begin)) != std::string::npos;) {
      if (take_line(output.substr(line_begin, end - line_begin))) {
        output.erase(line_begin, end + 1 - line_begin);
      } else {
        line_begin = end + 1;
      }
    }
  }
  const ExitState state = child.Wait();
  if (state.signal == SIGINT) return Aborted(what, " was interrupted");
  if (state.signal != 0) return Internal(what, " was killed by signal ", state.signal);
  if (state.exit_code == 0) return output;
  while (!output.empty() && output.back() == '\n') output.pop_back();
  const std::string text =
      output.empty() ? Cat(what, " failed with exit code ", state.exit_code) : output;
  for (const Status& candidate :
       {InvalidArgument(text), ResourceExhausted(text), AlreadyExists(text), NotFound(text),
        PermissionDenied(text), DeadlineExceeded(text), Aborted(text)}) {
    if (ExitCodeOf(candidate) == state.exit_code) return candidate;
  }
  return Internal(text);
}

StatusOr<FileDescriptor> CatchInterrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0)
    return Internal("sigprocmask: ", ErrnoText(errno));
  FileDescriptor interrupts(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!interrupts.valid()) return Internal("signalfd: ", ErrnoText(errno));
  return interrupts;
}

}  // namespace anamnesis::agent
