// SPDX-License-Identifier: Apache-2.0
// down: asks the coordinator of a data directory to save, park its jobs and end.
#include <poll.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/time/clock.h"
#include "anamnesis/v1/job.pb.h"
#include "common/io/data_directory.h"
#include "common/io/file.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/coordinator_file.h"
#include "services/cli/interrupt.h"
#include "services/cli/job_view.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr absl::Duration kMessageInterval = absl::Seconds(3);

// States of jobs that have something to save.
const std::vector<int>& ActiveStates() {
  static const auto* const states = new std::vector<int>{
      v1::JOB_STATE_PREPARING, v1::JOB_STATE_STARTING,   v1::JOB_STATE_RUNNING,
      v1::JOB_STATE_PAUSING,   v1::JOB_STATE_CANCELLING, v1::JOB_STATE_PREEMPTING,
      v1::JOB_STATE_RESIZING};
  return *states;
}

// The number of jobs at work as the coordinator tells it; nothing when it does not answer.
std::optional<size_t> CountActive(const CoordinatorProcess& process) {
  CommonFlags flags;
  flags.coordinator = process.address;
  const auto client = OpenClient(flags);
  if (!client.ok()) return std::nullopt;
  (*client)->SetDeadline(absl::Seconds(2));
  const auto jobs = (*client)->ListJobs(ActiveStates(), 1000);
  if (!jobs.ok()) return std::nullopt;
  return jobs->size();
}

std::string WaitingText(const CoordinatorProcess& process, std::optional<size_t> active) {
  if (!active)
    return Cat("waiting for the coordinator (process ", process.identity.pid, ") to end");
  if (*active == 0) return "no job is running: waiting for the coordinator to end";
  return Cat("waiting for ", *active, " running job", *active == 1 ? "" : "s", " to save");
}

// A second SIGINT would make the coordinator kill what is saving, so one that was told already is
// only waited for: this file says which process was told.
void TellOnce(const std::string& data_directory, WatchedProcess& process) {
  const std::string path = data_directory + "/coordinator.stopping";
  const std::string mark = Cat(process.identity().pid, " ", process.identity().start_ticks, "\n");
  const auto told = PathExists(path) ? ReadFile(path) : StatusOr<std::string>("");
  if (told.ok() && *told == mark) return;
  process.Signal(SIGINT);
  const Status written = WriteFileDurably(path, mark);
  if (!written.ok()) PrintWarning(MessageOf(written));
}

Status WaitForEnd(WatchedProcess& watched, const CoordinatorProcess& process,
                  std::optional<size_t> active, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  absl::Time next_message = absl::Now() + absl::Seconds(1);
  for (;;) {
    pollfd entry = {watched.pidfd(), POLLIN, 0};
    const int ready = ::poll(&entry, 1, 100);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Internal("poll: ", ErrnoText(errno));
    if (Interrupted()) return Aborted("interrupted");
    const absl::Time now = absl::Now();
    if (now >= deadline) {
      return DeadlineExceeded("the coordinator (process ", process.identity.pid,
                              ") has not ended within ", absl::FormatDuration(timeout),
                              "; it goes on saving");
    }
    if (now >= next_message) {
      std::cerr << WaitingText(process, active) << std::endl;
      next_message = now + kMessageInterval;
    }
  }
}

Status Down(const std::string& data_directory, absl::Duration timeout) {
  ANAM_ASSIGN_OR_RETURN(const CoordinatorProcess process, FindCoordinator(data_directory));
  ANAM_ASSIGN_OR_RETURN(WatchedProcess watched, WatchedProcess::Open(process.identity));
  const std::optional<size_t> active = CountActive(process);
  WatchForInterrupt();
  TellOnce(data_directory, watched);
  return WaitForEnd(watched, process, active, timeout);
}

}  // namespace

int RunDown(const Words& words) {
  std::string data_directory, timeout;
  CLI::App app(
      "End the coordinator of this machine: running jobs save a checkpoint and are parked; the "
      "next 'anamnesis up' continues them.\n\nExample: anamnesis down --timeout 5m",
      "anamnesis down");
  app.add_option("--data-dir", data_directory, "The coordinator's data directory");
  CheckDuration(
      app.add_option("--timeout", timeout, "Stop waiting after this time (exit 7): 90, 30s, 10m"));
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  if (data_directory.empty()) {
    const auto fallback = DefaultDataDirectory();
    if (!fallback.ok()) return FailWith(fallback.status());
    data_directory = *fallback;
  }
  const Status status =
      Down(data_directory, timeout.empty() ? absl::InfiniteDuration() : *ParseDuration(timeout));
  if (status.code() == absl::StatusCode::kAborted) {
    std::cerr << "interrupted: the coordinator goes on saving and then ends; wait again with "
                 "'anamnesis down --data-dir "
              << data_directory << "'" << std::endl;
    return 130;
  }
  if (!status.ok()) return FailWith(status);
  std::cerr << "the coordinator has ended" << std::endl;
  return 0;
}

}  // namespace anamnesis::cli
