// SPDX-License-Identifier: Apache-2.0
#include "services/cli/follow.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <set>

#include "absl/time/clock.h"
#include "anamnesis/v1/job_service.pb.h"
#include "services/cli/interrupt.h"
#include "services/cli/job_view.h"
#include "services/cli/progress_line.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

constexpr int kExitFailed = 8;
constexpr int kExitCancelled = 9;
constexpr int kExitInterrupted = 130;

// What happened between two looks at a job, beyond its steps.
std::vector<std::string> EventsOf(const v1::Job& before, const v1::Job& after) {
  std::vector<std::string> events;
  const std::string step =
      Cat(after.name(), "  step ", after.progress().step(), "/", after.progress().total_steps());
  const auto tuning = after.metrics().find("tuning_loss");
  if (tuning != after.metrics().end()) {
    const auto old = before.metrics().find("tuning_loss");
    if (old == before.metrics().end() || old->second != tuning->second) {
      const bool classifies =
          after.spec().task() == "finetune_bert" || after.spec().task() == "classify_llm";
      events.push_back(
          Cat(step, "  loss on tuning ", NumberText(tuning->second),
              classifies ? "" : Cat("  perplexity ", NumberText(std::exp(tuning->second)))));
    }
  }
  if (after.has_latest_checkpoint() &&
      after.latest_checkpoint().path() != before.latest_checkpoint().path()) {
    const std::string path = after.latest_checkpoint().path();
    events.push_back(Cat(step, "  saved ", std::filesystem::path(path).filename().string()));
  }
  if (after.attempts_size() > before.attempts_size() && before.attempts_size() > 0) {
    const v1::Attempt& ended = after.attempts(before.attempts_size() - 1);
    const v1::Attempt& next = after.attempts(after.attempts_size() - 1);
    events.push_back(Cat(after.name(), "  attempt ", next.epoch(), " continues step ",
                         next.resumed_step(), " after ", ReasonName(ended.reason()),
                         ended.message().empty() ? "" : Cat(": ", Printable(ended.message()))));
  }
  return events;
}

DisplayOptions DisplayFor(const CommonFlags& flags) {
  const bool quiet = flags.form() == Form::kJson || flags.form() == Form::kYaml;
  return {.draw = !quiet && MayDraw(STDERR_FILENO),
          .ascii = AsciiOnly(),
          .quiet = quiet,
          .columns = [] { return TerminalColumns(STDERR_FILENO); }};
}

}  // namespace

Followed FollowJobs(Client& client, const FollowOptions& options, const CommonFlags& flags) {
  WatchForInterrupt();
  Followed followed;
  std::set<std::string> open(options.names.begin(), options.names.end());
  ProgressDisplay display(std::cerr, DisplayFor(flags));
  client.OnNotice([&](const std::string& text) { display.Print("note: " + text); });
  const absl::Time deadline = absl::Now() + options.timeout;
  bool timed_out = false;
  const auto keep_going = [&] {
    timed_out = absl::Now() >= deadline;
    return !timed_out && !Interrupted();
  };
  const auto on_job = [&](const v1::WatchJobsResponse& response) {
    const v1::Job& job = response.job();
    if (!job.name().empty()) {
      v1::Job& known = followed.jobs[job.name()];
      if (options.events && !known.name().empty()) {
        for (const std::string& event : EventsOf(known, job)) display.Print(event);
      }
      known = job;
      display.Update(followed.jobs, job.name(), absl::Now());
      if (HasEnded(job.state())) open.erase(job.name());
    }
    return !open.empty();
  };
  followed.status = client.WatchJobs(
      options.names, on_job, [&] { return open.empty(); }, keep_going);
  display.Close();
  client.OnNotice(PrintNote);
  if (!followed.status.ok() || open.empty()) return followed;
  if (Interrupted()) {
    followed.status = Aborted("interrupted");
  } else if (timed_out) {
    std::string names;
    for (const std::string& name : open) names += Cat(names.empty() ? "" : ", ", name);
    followed.status = DeadlineExceeded(names, open.size() == 1 ? " has" : " have",
                                       " not ended within ", absl::FormatDuration(options.timeout));
  }
  return followed;
}

int OutcomeCode(const std::map<std::string, v1::Job>& jobs) {
  int code = 0;
  for (const auto& [name, job] : jobs) {
    const bool failed = job.state() == v1::JOB_STATE_FAILED ||
                        job.state() == v1::JOB_STATE_EXPIRED ||
                        job.state() == v1::JOB_STATE_REJECTED;
    if (failed) return kExitFailed;
    if (job.state() == v1::JOB_STATE_CANCELLED) code = kExitCancelled;
  }
  return code;
}

int SayInterrupted(const std::vector<std::string>& names, const CommonFlags& flags,
                   const std::string& verb) {
  std::string list;
  for (const std::string& name : names) list += " " + name;
  const std::string who = names.empty()       ? "the jobs go"
                          : names.size() == 1 ? names[0] + " goes"
                                              : "the jobs go";
  std::cerr << "interrupted: " << who << " on; follow again with '"
            << CommandHint(flags, verb + list) << "'";
  if (names.size() == 1) {
    std::cerr << ", end it with '" << CommandHint(flags, "cancel" + list) << "'";
  }
  std::cerr << std::endl;
  return kExitInterrupted;
}

}  // namespace anamnesis::cli
