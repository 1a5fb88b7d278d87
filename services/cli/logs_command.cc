// SPDX-License-Identifier: Apache-2.0
// logs: what a job's worker, or one of its ranks, wrote.
#include <CLI/CLI.hpp>
#include <iostream>

#include "anamnesis/v1/job_service.pb.h"
#include "services/cli/commands.h"
#include "services/cli/follow.h"
#include "services/cli/interrupt.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {

int RunLogs(const Words& words) {
  CommonFlags flags;
  std::string job;
  bool follow = false;
  std::optional<int> rank;
  CLI::App app(
      "Print the log of a job's last attempt: numbers, ids and errors, never data.\n\n"
      "Example: anamnesis logs jobs/17 -f --rank 0",
      "anamnesis logs");
  CheckJob(app.add_option("job", job, "jobs/17 or 17")->required());
  app.add_flag("-f,--follow", follow, "Go on until the job has ended");
  app.add_option("--rank", rank, "This rank's own log (default: the worker's)")
      ->check(CLI::Range(0, 65535));
  AddCoordinatorFlag(app, flags);
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  const auto client = OpenClient(flags);
  if (!client.ok()) return FailWith(client.status());
  v1::StreamLogsRequest request;
  request.set_name(*JobName(job));
  request.set_follow(follow);
  if (rank) request.set_rank(*rank);
  const auto known = (*client)->GetJob(request.name(), false);
  if (!known.ok()) return FailRemote(known.status());
  WatchForInterrupt();
  const Status status = (*client)->StreamLogs(
      request,
      [](const std::string& lines) {
        std::cout << lines << std::flush;
        return std::cout.good();
      },
      [] { return !Interrupted(); });
  if (Interrupted()) return SayInterrupted({request.name()}, flags, "wait");
  return status.ok() ? 0 : FailRemote(status);
}

}  // namespace anamnesis::cli
