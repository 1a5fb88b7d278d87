// SPDX-License-Identifier: Apache-2.0
#include "common/process/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace anamnesis {
namespace {

// posix_spawn's two attribute objects with their destructors.
struct FileActions {
  FileActions() { ::posix_spawn_file_actions_init(&value); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&value); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t value;
};

struct Attributes {
  Attributes() { ::posix_spawnattr_init(&value); }
  ~Attributes() { ::posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t value;
};

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

void SetAttributes(const SpawnOptions& options, posix_spawnattr_t* attributes) {
  // The worker blocks signals that it reads by signalfd; children must not inherit that.
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(attributes, &none);
  ::posix_spawnattr_setsigdefault(attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.own_session) {
    flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
  } else if (options.own_process_group) {
    ::posix_spawnattr_setpgroup(attributes, 0);
    flags = static_cast<short>(flags | POSIX_SPAWN_SETPGROUP);
  }
  ::posix_spawnattr_setflags(attributes, flags);
}

// A child inherits the affinity of the thread that spawns it: set for as long as that takes.
class AffinityForChild {
 public:
  explicit AffinityForChild(const std::vector<int>& cpus) : is_set_(!cpus.empty()) {
    if (!is_set_) return;
    ::sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    for (const int cpu : cpus) CPU_SET(cpu, &wanted);
    failed_ = ::sched_setaffinity(0, sizeof wanted, &wanted) != 0 ? errno : 0;
  }
  ~AffinityForChild() {
    if (is_set_) ::sched_setaffinity(0, sizeof before_, &before_);
  }
  AffinityForChild(const AffinityForChild&) = delete;
  AffinityForChild& operator=(const AffinityForChild&) = delete;
  int error() const { return failed_; }

 private:
  const bool is_set_;
  int failed_ = 0;
  cpu_set_t before_{};
};

}  // namespace

StatusOr<ChildProcess> ChildProcess::Spawn(const SpawnOptions& options) {
  FileActions actions;
  ::posix_spawn_file_actions_addopen(&actions.value, 0, "/dev/null", O_RDONLY, 0);
  if (!options.log_path.empty()) {
    ::posix_spawn_file_actions_addopen(&actions.value, 1, options.log_path.c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0666);
    ::posix_spawn_file_actions_adddup2(&actions.value, 1, 2);
  }
  if (options.stdout_fd >= 0) {
    ::posix_spawn_file_actions_adddup2(&actions.value, options.stdout_fd, 1);
  }
  if (options.stderr_fd >= 0) {
    ::posix_spawn_file_actions_adddup2(&actions.value, options.stderr_fd, 2);
  }
  if (options.inherited_fd >= 0) {  // the same number twice clears close-on-exec
    ::posix_spawn_file_actions_adddup2(&actions.value, options.inherited_fd, options.inherited_fd);
  }
  Attributes attributes;
  SetAttributes(options, &attributes.value);
  const AffinityForChild affinity(options.cpus);
  if (affinity.error() != 0) {
    return InvalidArgument(options.argv.front(),
                           ": cannot be kept on its CPUs: ", ErrnoText(affinity.error()));
  }
  ChildProcess child;
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, options.argv.front().c_str(), &actions.value, &attributes.value,
                    Pointers(options.argv).data(), Pointers(options.environment).data());
  if (error != 0) {
    return InvalidArgument(options.argv.front(), ": cannot start the program: ", ErrnoText(error));
  }
  child.pid_ = pid;
  child.pidfd_ = FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!child.pidfd_.valid()) return Internal("pidfd_open: ", ErrnoText(errno));
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(other.pid_), pidfd_(std::move(other.pidfd_)), state_(other.state_) {
  other.pid_ = -1;
}

ChildProcess::~ChildProcess() {
  if (pid_ < 0 || state_.has_value()) return;
  ::kill(pid_, SIGKILL);
  Reap(/*block=*/true);
}

int ChildProcess::Release() {
  const int pid = pid_;
  pid_ = -1;
  pidfd_.Reset();
  return pid;
}

void ChildProcess::Signal(int signal) {
  if (pid_ >= 0 && !state_.has_value())
    ::kill(pid_, signal);  // not reaped, so the pid is still its own
}

std::optional<ExitState> ChildProcess::Poll() { return Reap(/*block=*/false); }

ExitState ChildProcess::Wait() { return Reap(/*block=*/true).value_or(ExitState{.exit_code = 1}); }

std::optional<ExitState> ChildProcess::Reap(bool block) {
  if (state_.has_value()) return state_;
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid_, &status, block ? 0 : WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  if (reaped != pid_) return std::nullopt;
  state_ = WIFSIGNALED(status) ? ExitState{.signal = WTERMSIG(status)}
                               : ExitState{.exit_code = WEXITSTATUS(status)};
  return state_;
}

bool ChildProcess::IsStopped() const {
  const StatusOr<std::string> stat = ReadFile(Cat("/proc/", pid_, "/stat"));
  if (!stat.ok()) return false;
  const size_t end = stat->rfind(')');  // the name in parentheses may hold anything
  return end != std::string::npos && end + 2 < stat->size() &&
         ((*stat)[end + 2] == 'T' || (*stat)[end + 2] == 't');
}

}  // namespace anamnesis
