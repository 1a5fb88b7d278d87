// SPDX-License-Identifier: Apache-2.0
// Child processes: started by posix_spawn in a process group of their own (a Ctrl-C of the terminal
// reaches the worker alone), with an explicit environment, standard input from /dev/null, and
// supervised by pidfd. Thread-compatible.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/io/file.h"

namespace anamnesis {

struct ExitState {
  int signal = 0;     // that killed it; 0 when it exited by itself
  int exit_code = 0;  // when signal is 0
};

struct SpawnOptions {
  std::vector<std::string> argv = {};         // argv[0] is the path of the program
  std::vector<std::string> environment = {};  // NAME=VALUE, the whole of it
  std::string log_path = "";   // stdout and stderr are appended here; "" inherits both
  int stdout_fd = -1;          // becomes standard output, instead of the log
  int stderr_fd = -1;          // becomes standard error, instead of the log
  int inherited_fd = -1;       // kept open under its number in the child
  std::vector<int> cpus = {};  // the child may run on these alone; empty: where we may
  bool own_process_group = true;
  bool own_session = false;  // no terminal of ours: survives its end
};

class ChildProcess {
 public:
  // kInvalidArgument when the program cannot be started; names it.
  static StatusOr<ChildProcess> Spawn(const SpawnOptions& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  // Kills and reaps a child that still runs.
  ~ChildProcess();

  // Gives the child up: it is neither killed nor reaped by this object. Returns its pid.
  int Release();

  int pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable once the child has ended
  void Signal(int signal);
  // How it ended, nothing while it runs. Reaps.
  std::optional<ExitState> Poll();
  ExitState Wait();
  // True when the child is stopped (SIGSTOP, a debugger).
  bool IsStopped() const;

 private:
  ChildProcess() = default;
  std::optional<ExitState> Reap(bool block);

  int pid_ = -1;
  FileDescriptor pidfd_;
  std::optional<ExitState> state_;
};

}  // namespace anamnesis
