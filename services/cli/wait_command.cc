// SPDX-License-Identifier: Apache-2.0
// wait: until jobs have ended. watch: each change as it comes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "absl/time/clock.h"
#include "anamnesis/v1/job_service.pb.h"
#include "services/cli/commands.h"
#include "services/cli/follow.h"
#include "services/cli/interrupt.h"
#include "services/cli/job_view.h"
#include "services/cli/progress_line.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"
#include "services/cli/yaml_text.h"

namespace anamnesis::cli {
namespace {

// jobs/ID of each, none twice.
Words NamesOf(const Words& jobs) {
  Words names;
  for (const std::string& job : jobs) {
    const std::string name = *JobName(job);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

void PrintOutcome(const Words& names, const std::map<std::string, v1::Job>& jobs, Form form) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& name : names) {
    const auto job = jobs.find(name);
    if (job == jobs.end()) continue;
    if (form == Form::kJson || form == Form::kYaml) {
      list.push_back(JobJson(job->second, false));
    } else if (form == Form::kName) {
      std::cout << name << "\n";
    } else {
      std::cout << name << " " << StateName(job->second.state());
      if (!job->second.message().empty()) std::cout << ": " << Printable(job->second.message());
      std::cout << "\n";
    }
  }
  if (form == Form::kJson || form == Form::kYaml) PrintDocument({{"jobs", std::move(list)}}, form);
  std::cout << std::flush;
}

// One line, or document, for each change.
class ChangePrinter {
 public:
  explicit ChangePrinter(Form form) : form_(form) {}

  void Print(const v1::Job& job) {
    const std::string text = TextOf(job);
    std::string& last = last_[job.name()];
    if (text == last) return;
    last = text;
    if (form_ == Form::kTable || form_ == Form::kWide) {
      std::cout << absl::FormatTime("%H:%M:%S  ", absl::Now(), absl::LocalTimeZone());
    }
    std::cout << text << std::endl;
  }

 private:
  std::string TextOf(const v1::Job& job) const {
    if (form_ == Form::kJson) return JsonLine(JobJson(job, false));
    if (form_ == Form::kYaml) return "---\n" + YamlText(JobJson(job, false));
    if (form_ == Form::kName) return Cat(job.name(), " ", StateName(job.state()));
    return Cat(ProgressLine(job, 0, false), "  (", ReasonName(job.reason()), ")");
  }

  Form form_;
  std::map<std::string, std::string> last_;
};

}  // namespace

int RunWait(const Words& words) {
  CommonFlags flags;
  Words jobs;
  std::string timeout;
  CLI::App app(
      "Wait for the end of jobs; the exit code is that of the worst outcome: 0, 8 failed, 9 "
      "cancelled, 7 after the timeout.\n\nExample: anamnesis wait jobs/17 --timeout 2h",
      "anamnesis wait");
  CheckJob(app.add_option("jobs", jobs, "jobs/17 or 17, several")->required());
  CheckDuration(app.add_option("--timeout", timeout, "Give up after this time: 90, 30s, 10m"));
  AddCoordinatorFlag(app, flags);
  AddOutputFlag(app, flags);
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  const auto client = OpenClient(flags);
  if (!client.ok()) return FailWith(client.status());
  FollowOptions options;
  options.names = NamesOf(jobs);
  if (!timeout.empty()) options.timeout = *ParseDuration(timeout);
  for (const std::string& name : options.names) {
    const auto job = (*client)->GetJob(name, false);
    if (!job.ok()) return FailRemote(job.status());
  }
  const Followed followed = FollowJobs(**client, options, flags);
  if (followed.status.code() == absl::StatusCode::kAborted) {
    return SayInterrupted(options.names, flags, "wait");
  }
  const bool timed_out = followed.status.code() == absl::StatusCode::kDeadlineExceeded;
  if (followed.status.ok() || timed_out) PrintOutcome(options.names, followed.jobs, flags.form());
  if (!followed.status.ok()) return FailRemote(followed.status);
  return OutcomeCode(followed.jobs);
}

int RunWatch(const Words& words) {
  CommonFlags flags;
  Words jobs;
  CLI::App app(
      "Print jobs as they are, then a line for each change; with jobs named, until these have "
      "ended.\n\nExample: anamnesis watch jobs/17 -o json",
      "anamnesis watch");
  CheckJob(app.add_option("jobs", jobs, "jobs/17 or 17, several; none: all"));
  AddCoordinatorFlag(app, flags);
  AddOutputFlag(app, flags);
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  const auto client = OpenClient(flags);
  if (!client.ok()) return FailWith(client.status());
  const Words names = NamesOf(jobs);
  for (const std::string& name : names) {
    const auto job = (*client)->GetJob(name, false);
    if (!job.ok()) return FailRemote(job.status());
  }
  if (names.empty()) {
    const auto any = (*client)->ListJobs({}, 1);
    if (!any.ok()) return FailRemote(any.status());
  }
  WatchForInterrupt();
  ChangePrinter printer(flags.form());
  Words open = names;
  const auto on_job = [&](const v1::WatchJobsResponse& response) {
    const v1::Job& job = response.job();
    if (!job.name().empty()) {
      printer.Print(job);
      if (HasEnded(job.state())) std::erase(open, job.name());
    }
    return names.empty() || !open.empty();
  };
  const Status status = (*client)->WatchJobs(
      names, on_job, [&] { return !names.empty() && open.empty(); },
      [] { return !Interrupted() && std::cout.good(); });
  if (Interrupted()) return SayInterrupted(names, flags, "watch");
  return status.ok() ? 0 : FailRemote(status);
}

}  // namespace anamnesis::cli
