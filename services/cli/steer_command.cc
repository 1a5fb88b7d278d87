// SPDX-License-Identifier: Apache-2.0
// cancel, pause, resume.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "anamnesis/v1/job.pb.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/job_view.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

struct SteerFlags {
  CommonFlags common;
  Words jobs;
  std::string grace;
};

using Call = std::function<StatusOr<v1::Job>(Client& client, const std::string& name)>;

void AddCommon(CLI::App& app, SteerFlags& flags) {
  CheckJob(app.add_option("jobs", flags.jobs, "jobs/17 or 17, several")->required());
  AddCoordinatorFlag(app, flags.common);
  AddOutputFlag(app, flags.common);
}

// Every job is tried; the exit code is that of the first failure.
int Steer(const SteerFlags& flags, const Call& call) {
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  const Form form = flags.common.form();
  OrderedJson list = OrderedJson::array();
  int code = 0;
  for (const std::string& text : flags.jobs) {
    const auto job = call(**client, *JobName(text));
    if (!job.ok()) {
      const int failure = FailRemote(job.status());
      if (code == 0) code = failure;
      if (job.status().code() == absl::StatusCode::kUnavailable) break;
      continue;
    }
    if (form == Form::kName) {
      std::cout << job->name() << std::endl;
    } else if (form == Form::kTable || form == Form::kWide) {
      std::cout << job->name() << " " << StateName(job->state()) << std::endl;
    } else {
      list.push_back(JobJson(*job, false));
    }
  }
  if (form == Form::kJson || form == Form::kYaml) PrintDocument({{"jobs", std::move(list)}}, form);
  return code;
}

}  // namespace

int RunCancel(const Words& words) {
  SteerFlags flags;
  CLI::App app(
      "Cancel jobs: each saves a checkpoint within the grace, then it is ended.\n\n"
      "Example: anamnesis cancel jobs/17 --grace 2m",
      "anamnesis cancel");
  AddCommon(app, flags);
  CheckDuration(app.add_option("--grace", flags.grace,
                               "Time to save: 90, 30s, 10m (default: the coordinator's); 0: now"));
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  std::optional<absl::Duration> grace;
  if (!flags.grace.empty()) grace = *ParseDuration(flags.grace);
  return Steer(flags, [grace](Client& client, const std::string& name) {
    return client.CancelJob(name, grace);
  });
}

int RunPause(const Words& words) {
  SteerFlags flags;
  CLI::App app(
      "Pause jobs: each saves a checkpoint and gives its slots back.\n\n"
      "Example: anamnesis pause jobs/17",
      "anamnesis pause");
  AddCommon(app, flags);
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  return Steer(flags,
               [](Client& client, const std::string& name) { return client.PauseJob(name); });
}

int RunResume(const Words& words) {
  SteerFlags flags;
  CLI::App app(
      "Resume paused jobs from their last checkpoint.\n\nExample: anamnesis resume jobs/17",
      "anamnesis resume");
  AddCommon(app, flags);
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  return Steer(flags,
               [](Client& client, const std::string& name) { return client.ResumeJob(name); });
}

}  // namespace anamnesis::cli
