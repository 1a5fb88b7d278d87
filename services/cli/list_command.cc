// SPDX-License-Identifier: Apache-2.0
// list, get, describe, explain: jobs as they are now.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>

#include "absl/time/clock.h"
#include "anamnesis/v1/checkpoint_service.pb.h"
#include "anamnesis/v1/job_service.pb.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/describe_text.h"
#include "services/cli/job_view.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

struct OneJobFlags {
  CommonFlags common;
  std::string job;
};

// The flags of get, describe and explain.
std::optional<int> ParseOneJob(const char* text, const char* verb, const Words& words,
                               OneJobFlags& flags) {
  CLI::App app(text, Cat("anamnesis ", verb));
  CheckJob(app.add_option("job", flags.job, "jobs/17 or 17")->required());
  AddCoordinatorFlag(app, flags.common);
  AddOutputFlag(app, flags.common);
  return ParseWords(app, words);
}

// Of a step that was evaluated twice the last; what cannot be had is passed over, as it is for
// advice alone.
std::vector<double> TuningLosses(Client& client, const v1::Job& job) {
  std::map<int64_t, double> losses;
  if (!job.metrics().contains("tuning_loss")) return {};
  v1::StreamMetricsRequest request;
  request.set_name(job.name());
  const Status status = client.StreamMetrics(
      request,
      [&](const v1::MetricPoint& point) {
        const auto loss = point.values().find("tuning_loss");
        if (loss != point.values().end()) losses[point.step()] = loss->second;
        return true;
      },
      [] { return true; });
  std::vector<double> in_order;
  if (!status.ok()) return in_order;
  for (const auto& [step, loss] : losses) in_order.push_back(loss);
  return in_order;
}

}  // namespace

int RunList(const Words& words) {
  CommonFlags flags;
  Words state_names;
  size_t limit = 0;
  CLI::App app("List jobs, the newest first.\n\nExample: anamnesis list --state running -o wide",
               "anamnesis list");
  app.add_option("--state", state_names, "Only jobs in this state, may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(StateNames()));
  app.add_option("--limit", limit, "At most so many (default: all)");
  AddCoordinatorFlag(app, flags);
  AddOutputFlag(app, flags);
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  const auto client = OpenClient(flags);
  if (!client.ok()) return FailWith(client.status());
  std::vector<int> states;
  for (const std::string& name : state_names) states.push_back(StateFromName(name));
  const auto jobs = (*client)->ListJobs(states, limit);
  if (!jobs.ok()) return FailRemote(jobs.status());
  const Form form = flags.form();
  if (form == Form::kJson || form == Form::kYaml) {
    OrderedJson list = OrderedJson::array();
    for (const v1::Job& job : *jobs) list.push_back(JobJson(job, false));
    PrintDocument({{"jobs", std::move(list)}}, form);
  } else if (form == Form::kName) {
    for (const v1::Job& job : *jobs) std::cout << job.name() << "\n";
  } else if (jobs->empty()) {
    std::cerr << "no jobs" << std::endl;
  } else {
    std::cout << TableText(JobRows(*jobs, form == Form::kWide, absl::Now()));
  }
  return 0;
}

int RunGet(const Words& words) {
  OneJobFlags flags;
  if (const auto exit_code = ParseOneJob("Print one job.\n\nExample: anamnesis get jobs/17 -o json",
                                         "get", words, flags)) {
    return *exit_code;
  }
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  const auto job = (*client)->GetJob(*JobName(flags.job), true);
  if (!job.ok()) return FailRemote(job.status());
  const Form form = flags.common.form();
  if (form == Form::kJson || form == Form::kYaml) {
    PrintDocument(JobJson(*job, true), form);
  } else if (form == Form::kName) {
    std::cout << job->name() << "\n";
  } else {
    std::cout << TableText(JobRows({*job}, form == Form::kWide, absl::Now()));
  }
  return 0;
}

int RunDescribe(const Words& words) {
  OneJobFlags flags;
  if (const auto exit_code =
          ParseOneJob("Tell all about a job: why it is where it is, its attempts, transitions, "
                      "checkpoints and its configuration.\n\nExample: anamnesis describe jobs/17",
                      "describe", words, flags)) {
    return *exit_code;
  }
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  const auto job = (*client)->GetJob(*JobName(flags.job), true);
  if (!job.ok()) return FailRemote(job.status());
  const auto checkpoints = (*client)->ListCheckpoints(job->name());
  if (!checkpoints.ok()) return FailRemote(checkpoints.status());
  const Form form = flags.common.form();
  if (form == Form::kJson || form == Form::kYaml) {
    OrderedJson page = JobJson(*job, true);
    page["checkpoints"] = OrderedJson::array();
    for (const v1::Checkpoint& item : *checkpoints) {
      page["checkpoints"].push_back(CheckpointJson(item));
    }
    PrintDocument(page, form);
  } else {
    std::cout << DescribeText(*job, *checkpoints, absl::Now(), absl::LocalTimeZone(),
                              TuningLosses(**client, *job));
  }
  return 0;
}

int RunExplain(const Words& words) {
  OneJobFlags flags;
  if (const auto exit_code = ParseOneJob("Say what a job waits for, or why it ended.\n\n"
                                         "Example: anamnesis explain jobs/17",
                                         "explain", words, flags)) {
    return *exit_code;
  }
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  const auto job = (*client)->GetJob(*JobName(flags.job), true);
  if (!job.ok()) return FailRemote(job.status());
  const Form form = flags.common.form();
  if (form == Form::kJson || form == Form::kYaml) {
    PrintDocument({{"name", job->name()},
                   {"state", StateName(job->state())},
                   {"reason", ReasonName(job->reason())},
                   {"explanation", job->explanation()}},
                  form);
  } else {
    std::cout << job->name() << ": " << Printable(job->explanation()) << std::endl;
  }
  return 0;
}

}  // namespace anamnesis::cli
