// SPDX-License-Identifier: Apache-2.0
#include "services/cli/describe_text.h"

#include <algorithm>
#include <utility>

#include "anamnesis/v1/checkpoint_service.pb.h"
#include "anamnesis/v1/job.pb.h"
#include "common/base/evaluation_text.h"
#include "common/base/status.h"
#include "common/config/advice.h"
#include "services/cli/job_advice.h"
#include "services/cli/job_view.h"
#include "services/cli/text.h"
#include "services/cli/yaml_text.h"

namespace anamnesis::cli {
namespace {

constexpr size_t kLabelWidth = 15;

class Page {
 public:
  Page(absl::Time now, absl::TimeZone zone) : now_(now), zone_(zone) {}

  // Nothing for an empty text.
  void Line(const std::string& label, const std::string& text) {
    if (text.empty()) return;
    std::string head = label + ":";
    head.resize(std::max(head.size() + 1, kLabelWidth), ' ');
    text_ += head + Printable(text) + "\n";
  }
  void Section(const std::string& title, const std::string& body) {
    if (body.empty()) return;
    text_ += "\n" + title + ":\n";
    for (size_t at = 0; at < body.size();) {
      const size_t end = std::min(body.find('\n', at), body.size());
      text_ += "  " + body.substr(at, end - at) + "\n";
      at = end + 1;
    }
  }
  std::string When(const google::protobuf::Timestamp& stamp) const {
    const absl::Time time = TimeOf(stamp);
    if (time == absl::InfinitePast()) return "";
    return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, zone_);
  }
  std::string WhenAndAge(const google::protobuf::Timestamp& stamp) const {
    const std::string when = When(stamp);
    return when.empty() ? when : Cat(when, " (", AgeText(TimeOf(stamp), now_), " ago)");
  }
  std::string Take() { return std::move(text_); }

 private:
  absl::Time now_;
  absl::TimeZone zone_;
  std::string text_;
};

std::string LastedText(const v1::Attempt& attempt, absl::Time now) {
  const absl::Time start = TimeOf(attempt.start_time());
  if (start == absl::InfinitePast()) return "-";
  const absl::Time end = TimeOf(attempt.end_time());
  return ClockText(absl::ToDoubleSeconds((end == absl::InfinitePast() ? now : end) - start));
}

template <typename List>
std::string Joined(const List& list) {
  std::string text;
  for (const auto& item : list) text += Cat(text.empty() ? "" : ",", item);
  return text.empty() ? "-" : text;
}

void AddProgress(const v1::Job& job, Page& page) {
  const v1::Progress& progress = job.progress();
  std::string text = ProgressText(job);
  if (progress.phase_total() == 0 && !progress.phase().empty()) {
    text = Cat(Printable(progress.phase()), ", ", text);
  }
  if (progress.epoch() > 0) text += Cat(", epoch ", NumberText(progress.epoch()));
  if (progress.tokens() > 0) text += Cat(", ", GroupedText(progress.tokens()), " tokens");
  if (progress.tokens_per_second() > 0) {
    text += Cat(", ", GroupedText(static_cast<int64_t>(progress.tokens_per_second())), " tokens/s");
  }
  if (progress.has_eta_seconds() && !HasEnded(job.state())) {
    text += Cat(", eta ", ClockText(progress.eta_seconds()));
  }
  page.Line("Progress", text);
  if (job.steps_executed() > 0) {
    page.Line("Steps executed", Cat(job.steps_executed(), " by ", job.attempts_size(),
                                    job.attempts_size() == 1 ? " attempt" : " attempts"));
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : job.metrics()) names.push_back(name);
  std::sort(names.begin(), names.end());
  std::string metrics;
  for (const std::string& name : names) {
    metrics += Cat(metrics.empty() ? "" : ", ", name, " ", MetricText(job, name));
  }
  page.Line("Metrics", metrics);
  const std::map<std::string, double> evaluation(job.evaluation().begin(), job.evaluation().end());
  page.Line("On tuning", EvaluationText(evaluation, "tuning"));
  page.Line("On held_out", EvaluationText(evaluation, "held_out"));
  if (job.has_latest_checkpoint()) {
    const v1::CheckpointRef& latest = job.latest_checkpoint();
    const std::string when = page.WhenAndAge(latest.commit_time());
    page.Line("Checkpoint",
              Cat("step ", latest.step(), when.empty() ? "" : ", ", when, ", ", latest.path()));
  }
  page.Line("Final model", job.final_sha256().empty() ? "" : Cat("sha256 ", job.final_sha256()));
  page.Line("W&B", WandbText(job));
}

void AddHead(const v1::Job& job, Page& page) {
  page.Line("Name", job.name());
  page.Line("Display name", job.spec().display_name());
  page.Line("State", Cat(StateName(job.state()), " (", ReasonName(job.reason()), ")"));
  page.Line("Explanation", job.explanation().empty() ? job.message() : job.explanation());
  if (job.has_retry_delay()) {
    page.Line("Next attempt",
              Cat("in ", ClockText(static_cast<double>(job.retry_delay().seconds()))));
  }
  page.Line("Task", job.spec().task());
  page.Line("Ranks", std::to_string(job.ranks()));
  page.Line("Project", job.spec().project());
  page.Line("Priority", std::to_string(job.spec().priority()));
  page.Line("After", job.spec().after());
  page.Line("Output", job.output_dir());
  std::string config = job.spec().config_name();
  if (!job.spec().working_directory().empty()) {
    config += Cat(" in ", job.spec().working_directory());
  }
  page.Line("Configuration", config);
  for (const std::string& text : job.spec().overrides()) page.Line("  --set", text);
  page.Line("Created", page.WhenAndAge(job.create_time()));
  page.Line("Started", page.WhenAndAge(job.start_time()));
  page.Line("Ended", page.WhenAndAge(job.end_time()));
  for (const std::string& note : job.notes()) {
    if (!config::SeverityOfLine(note)) page.Line("Note", note);
  }
}

// What runs it: the engine's object, or the worker's process.
std::string ProcessText(const v1::Attempt& attempt) {
  if (!attempt.engine_object().empty()) return attempt.engine_object();
  return attempt.worker_pid() > 0 ? std::to_string(attempt.worker_pid()) : "-";
}

Rows AttemptRows(const v1::Job& job, const Page& page, absl::Time now) {
  Rows rows = {{"EPOCH", "STATE", "REASON", "STARTED", "LASTED", "STEPS", "FROM", "SLOTS", "KEPT",
                "NODES", "HOST", "PROCESS", "MESSAGE"}};
  for (const v1::Attempt& attempt : job.attempts()) {
    const bool stepped = attempt.first_step() > 0;
    rows.push_back({std::to_string(attempt.epoch()), AttemptStateName(attempt.state()),
                    ReasonName(attempt.reason()), page.When(attempt.start_time()),
                    LastedText(attempt, now),
                    stepped ? Cat(attempt.first_step(), "-", attempt.last_step()) : "-",
                    std::to_string(attempt.resumed_step()), Joined(attempt.slots()),
                    Joined(attempt.kept_ranks()), std::to_string(attempt.nodes()), attempt.host(),
                    ProcessText(attempt), attempt.message()});
  }
  return rows;
}

Rows TransitionRows(const v1::Job& job, const Page& page) {
  Rows rows = {{"TIME", "FROM", "TO", "REASON", "ACTOR", "EPOCH", "MESSAGE"}};
  for (const v1::Transition& transition : job.transitions()) {
    const bool first = transition.from() == v1::JOB_STATE_UNSPECIFIED;
    rows.push_back({page.When(transition.time()), first ? "-" : StateName(transition.from()),
                    StateName(transition.to()), ReasonName(transition.reason()), transition.actor(),
                    std::to_string(transition.epoch()), transition.message()});
  }
  return rows;
}

}  // namespace

std::string DescribeText(const v1::Job& job, const std::vector<v1::Checkpoint>& checkpoints,
                         absl::Time now, absl::TimeZone zone,
                         const std::vector<double>& tuning_losses) {
  Page page(now, zone);
  AddHead(job, page);
  AddProgress(job, page);
  std::string advice;
  for (const std::string& line : AdviceOf(job, tuning_losses)) advice += Printable(line) + "\n";
  page.Section("Advice", advice);
  if (job.attempts_size() > 0) page.Section("Attempts", TableText(AttemptRows(job, page, now)));
  if (job.transitions_size() > 0) page.Section("Transitions", TableText(TransitionRows(job, page)));
  if (!checkpoints.empty()) {
    page.Section("Checkpoints", TableText(CheckpointRows(checkpoints, now)));
  }
  const OrderedJson spec = OrderedJson::parse(job.resolved_spec_json(), nullptr, false);
  if (!spec.is_discarded() && !spec.empty()) page.Section("Resolved configuration", YamlText(spec));
  return page.Take();
}

}  // namespace anamnesis::cli
