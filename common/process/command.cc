// SPDX-License-Identifier: Apache-2.0
#include "common/process/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/clock.h"

namespace anamnesis {
namespace {

constexpr size_t kMaxErrorBytes = size_t{64} << 10;

struct Pipe {
  FileDescriptor read, write;
};

StatusOr<Pipe> OpenPipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ResourceExhausted("pipe: ", ErrnoText(errno));
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// Reads what is there. False at the end.
bool ReadSome(int fd, std::string* text, size_t keep) {
  char buffer[16384];
  ssize_t count = 0;
  do {
    count = ::read(fd, buffer, sizeof buffer);
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return false;
  text->append(buffer, std::min(static_cast<size_t>(count), keep - std::min(keep, text->size())));
  return true;
}

// Until the program has ended. Its children may keep the pipes open: they are not waited for.
Status Collect(const CommandOptions& options, const ChildProcess& child, int output, int errors,
               CommandResult* result) {
  const absl::Duration end = Clock::System().Monotonic() + options.patience;
  pollfd fds[] = {{child.pidfd(), POLLIN, 0},
                  {output, POLLIN, 0},
                  {errors, POLLIN, 0},
                  {options.cancel_fd, POLLIN, 0}};
  for (;;) {
    const absl::Duration left = end - Clock::System().Monotonic();
    if (left <= absl::ZeroDuration()) {
      return DeadlineExceeded(options.argv.front(), ": no answer within ",
                              absl::FormatDuration(options.patience));
    }
    if (::poll(fds, 4, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) < 0) continue;
    if (fds[3].revents != 0) return Aborted(options.argv.front(), ": not waited for");
    const bool ended = fds[0].revents != 0;
    // The pipes first: what was said before the end is in them.
    if (fds[1].revents != 0 && !ReadSome(output, &result->output, options.max_output_bytes + 1)) {
      fds[1].fd = -1;
    }
    if (fds[2].revents != 0 && !ReadSome(errors, &result->errors, kMaxErrorBytes)) fds[2].fd = -1;
    if (result->output.size() > options.max_output_bytes) {
      return ResourceExhausted(options.argv.front(), ": says more than ", options.max_output_bytes,
                               " bytes");
    }
    if (ended && fds[1].revents == 0 && fds[2].revents == 0) return absl::OkStatus();
    if (ended && fds[1].fd < 0 && fds[2].fd < 0) return absl::OkStatus();
  }
}

}  // namespace

StatusOr<CommandResult> RunCommand(const CommandOptions& options) {
  ANAM_ASSIGN_OR_RETURN(Pipe output, OpenPipe());
  ANAM_ASSIGN_OR_RETURN(Pipe errors, OpenPipe());
  ANAM_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn({.argv = options.argv,
                                                                 .environment = options.environment,
                                                                 .stdout_fd = output.write.get(),
                                                                 .stderr_fd = errors.write.get()}));
  output.write.Reset();
  errors.write.Reset();
  CommandResult result;
  const Status status = Collect(options, child, output.read.get(), errors.read.get(), &result);
  if (!status.ok()) {
    ::kill(-child.pid(), SIGKILL);  // its process group; it is not reaped yet
    child.Wait();
    return status;
  }
  result.exit = child.Wait();
  return result;
}

StatusOr<std::string> FindProgram(const std::string& name, const std::string& search_path) {
  for (size_t begin = 0; begin <= search_path.size();) {
    const size_t end = std::min(search_path.find(':', begin), search_path.size());
    const std::string path = Cat(search_path.substr(begin, end - begin), "/", name);
    struct stat info {};
    if (path[0] == '/' && path.size() > name.size() + 1 && ::stat(path.c_str(), &info) == 0 &&
        S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0) {
      return path;
    }
    begin = end + 1;
  }
  return NotFound(name, ": no such program in ", search_path);
}

}  // namespace anamnesis
