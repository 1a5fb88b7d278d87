// SPDX-License-Identifier: Apache-2.0
#include "services/cli/job_view.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <cctype>

#include "anamnesis/v1/checkpoint_service.pb.h"
#include "anamnesis/v1/job_service.pb.h"
#include "common/base/shell_quoted.h"
#include "common/base/status.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

// "JOB_STATE_RUNNING" as "running".
std::string EnumName(const google::protobuf::EnumDescriptor* type, const std::string& prefix,
                     int value) {
  const auto* known = type->FindValueByNumber(value);
  if (known == nullptr) return Cat("unknown_", value);
  std::string name = known->name().substr(prefix.size());
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

OrderedJson TimeJson(bool set, const google::protobuf::Timestamp& stamp) {
  if (!set) return nullptr;
  return absl::FormatTime(absl::RFC3339_full, TimeOf(stamp), absl::UTCTimeZone());
}

OrderedJson ProgressJson(const v1::Progress& progress) {
  return {{"phase", progress.phase()},
          {"phase_done", progress.phase_done()},
          {"phase_total", progress.phase_total()},
          {"step", progress.step()},
          {"total_steps", progress.total_steps()},
          {"epoch", progress.epoch()},
          {"tokens", progress.tokens()},
          {"tokens_per_second", progress.tokens_per_second()},
          {"train_seconds", progress.train_seconds()},
          {"evaluation_seconds", progress.evaluation_seconds()},
          {"eta_seconds",
           progress.has_eta_seconds() ? OrderedJson(progress.eta_seconds()) : OrderedJson()}};
}

OrderedJson AttemptJson(const v1::Attempt& attempt) {
  OrderedJson slots = OrderedJson::array();
  for (const int slot : attempt.slots()) slots.push_back(slot);
  OrderedJson kept = OrderedJson::array();
  for (const int rank : attempt.kept_ranks()) kept.push_back(rank);
  return {{"epoch", attempt.epoch()},
          {"state", AttemptStateName(attempt.state())},
          {"reason", ReasonName(attempt.reason())},
          {"message", attempt.message()},
          {"start_time", TimeJson(attempt.has_start_time(), attempt.start_time())},
          {"end_time", TimeJson(attempt.has_end_time(), attempt.end_time())},
          {"slots", std::move(slots)},
          {"first_step", attempt.first_step()},
          {"last_step", attempt.last_step()},
          {"resumed_step", attempt.resumed_step()},
          {"kept_ranks", std::move(kept)},
          {"host", attempt.host()},
          {"worker_pid", attempt.worker_pid()},
          {"reattached", attempt.reattached()},
          {"nodes", attempt.nodes()},
          {"engine_object", attempt.engine_object()}};
}

OrderedJson SpecJson(const v1::JobSpec& spec) {
  OrderedJson overrides = OrderedJson::array();
  for (const std::string& text : spec.overrides()) overrides.push_back(text);
  return {{"task", spec.task()},
          {"config_name", spec.config_name()},
          {"config_yaml", spec.config_yaml()},
          {"overrides", std::move(overrides)},
          {"working_directory", spec.working_directory()},
          {"ranks", spec.has_ranks() ? OrderedJson(spec.ranks()) : OrderedJson()}};
}

OrderedJson TransitionJson(const v1::Transition& transition) {
  return {{"time", TimeJson(transition.has_time(), transition.time())},
          {"from", StateName(transition.from())},
          {"to", StateName(transition.to())},
          {"reason", ReasonName(transition.reason())},
          {"actor", transition.actor()},
          {"epoch", transition.epoch()},
          {"message", transition.message()}};
}

// By name: a map of protobuf has no order.
OrderedJson ValuesJson(const google::protobuf::Map<std::string, double>& values) {
  OrderedJson json = OrderedJson::object();
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) json[name] = values.at(name);
  return json;
}

OrderedJson DataJson(const v1::DataFacts& data) {
  const auto share = [](bool known, double value) {
    return known ? OrderedJson(value) : OrderedJson();
  };
  OrderedJson shares = OrderedJson::array();
  for (const double part : data.class_shares()) shares.push_back(part);
  return {{"medical_coverage", share(data.has_medical_coverage(), data.medical_coverage())},
          {"lab_coverage", share(data.has_lab_coverage(), data.lab_coverage())},
          {"truncated_token_share",
           share(data.has_truncated_token_share(), data.truncated_token_share())},
          {"train_documents", data.train_documents()},
          {"class_shares", std::move(shares)}};
}

void AddFullView(const v1::Job& job, OrderedJson& json) {
  json["explanation"] = job.explanation();
  json["spec"] = SpecJson(job.spec());
  json["transitions"] = OrderedJson::array();
  for (const v1::Transition& transition : job.transitions()) {
    json["transitions"].push_back(TransitionJson(transition));
  }
  OrderedJson resolved = OrderedJson::parse(job.resolved_spec_json(), nullptr, false);
  json["resolved_spec"] = resolved.is_discarded() ? OrderedJson() : std::move(resolved);
}

}  // namespace

std::string StateName(int job_state) {
  return EnumName(v1::JobState_descriptor(), "JOB_STATE_", job_state);
}
std::string AttemptStateName(int attempt_state) {
  return EnumName(v1::AttemptState_descriptor(), "ATTEMPT_STATE_", attempt_state);
}
std::string ReasonName(int reason) { return EnumName(v1::Reason_descriptor(), "REASON_", reason); }
std::string CheckpointStateName(int checkpoint_state) {
  return EnumName(v1::CheckpointState_descriptor(), "CHECKPOINT_STATE_", checkpoint_state);
}

std::vector<std::string> StateNames() {
  std::vector<std::string> names;
  const auto* type = v1::JobState_descriptor();
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() != 0) names.push_back(StateName(type->value(i)->number()));
  }
  return names;
}

int StateFromName(const std::string& name) {
  const auto* type = v1::JobState_descriptor();
  for (int i = 0; i < type->value_count(); ++i) {
    const int number = type->value(i)->number();
    if (number != 0 && StateName(number) == name) return number;
  }
  return 0;
}

bool HasEnded(int job_state) { return job_state >= v1::JOB_STATE_SUCCEEDED; }

absl::Time TimeOf(const google::protobuf::Timestamp& stamp) {
  if (stamp.seconds() == 0 && stamp.nanos() == 0) return absl::InfinitePast();
  return absl::FromUnixSeconds(stamp.seconds()) + absl::Nanoseconds(stamp.nanos());
}

OrderedJson JobJson(const v1::Job& job, bool full) {
  OrderedJson json = {
      {"name", job.name()},
      {"display_name", job.spec().display_name()},
      {"state", StateName(job.state())},
      {"reason", ReasonName(job.reason())},
      {"message", job.message()},
      {"task", job.spec().task()},
      {"project", job.spec().project()},
      {"priority", job.spec().priority()},
      {"after", job.spec().after().empty() ? OrderedJson() : OrderedJson(job.spec().after())},
      {"ranks", job.ranks()},
      {"create_time", TimeJson(job.has_create_time(), job.create_time())},
      {"update_time", TimeJson(job.has_update_time(), job.update_time())},
      {"start_time", TimeJson(job.has_start_time(), job.start_time())},
      {"end_time", TimeJson(job.has_end_time(), job.end_time())},
      {"progress", ProgressJson(job.progress())},
      {"attempts", OrderedJson::array()},
      {"steps_executed", job.steps_executed()},
      {"latest_checkpoint", nullptr},
      {"metrics", ValuesJson(job.metrics())},
      {"output_dir", job.output_dir()},
      {"final_sha256", job.final_sha256()},
      {"wandb_folder",
       job.wandb_folder().empty() ? OrderedJson() : OrderedJson(job.wandb_folder())},
      {"evaluation", ValuesJson(job.evaluation())},
      {"retry_delay_seconds", nullptr},
      {"notes", OrderedJson::array()}};
  if (job.has_data()) json["data"] = DataJson(job.data());
  for (const v1::Attempt& attempt : job.attempts()) {
    json["attempts"].push_back(AttemptJson(attempt));
  }
  if (job.has_latest_checkpoint()) {
    const v1::CheckpointRef& latest = job.latest_checkpoint();
    json["latest_checkpoint"] = {
        {"step", latest.step()},
        {"epoch", latest.epoch()},
        {"path", latest.path()},
        {"sha256", latest.sha256()},
        {"commit_time", TimeJson(latest.has_commit_time(), latest.commit_time())}};
  }
  if (job.has_retry_delay()) {
    json["retry_delay_seconds"] = static_cast<double>(job.retry_delay().seconds()) +
                                  static_cast<double>(job.retry_delay().nanos()) * 1e-9;
  }
  for (const std::string& note : job.notes()) json["notes"].push_back(note);
  if (full) AddFullView(job, json);
  return json;
}

OrderedJson CheckpointJson(const v1::Checkpoint& checkpoint) {
  return {{"name", checkpoint.name()},
          {"step", checkpoint.step()},
          {"epoch", checkpoint.epoch()},
          {"state", CheckpointStateName(checkpoint.state())},
          {"path", checkpoint.path()},
          {"sha256", checkpoint.sha256()},
          {"commit_time", TimeJson(checkpoint.has_commit_time(), checkpoint.commit_time())}};
}

OrderedJson MetricPointJson(const v1::MetricPoint& point) {
  return {{"step", point.step()},
          {"epoch", point.epoch()},
          {"time", TimeJson(point.has_time(), point.time())},
          {"values", ValuesJson(point.values())}};
}

std::string PhaseText(const v1::Progress& progress) {
  const std::string phase = Printable(progress.phase());
  if (progress.phase_total() <= 0) return phase;
  const double share =
      static_cast<double>(progress.phase_done()) / static_cast<double>(progress.phase_total());
  return Cat(phase, " ", static_cast<int>(100 * std::clamp(share, 0.0, 1.0)), " %");
}

std::string ProgressText(const v1::Job& job) {
  const v1::Progress& progress = job.progress();
  if (progress.phase_total() > 0) return PhaseText(progress);
  if (progress.total_steps() <= 0) {
    return progress.step() > 0 ? Cat("step ", progress.step()) : std::string("-");
  }
  return Cat(progress.step(), "/", progress.total_steps(), " (",
             progress.step() * 100 / progress.total_steps(), "%)");
}

std::string WandbText(const v1::Job& job) {
  return job.wandb_folder().empty() ? "" : Cat("wandb sync ", ShellQuoted(job.wandb_folder()));
}

std::string MetricText(const v1::Job& job, const std::string& name) {
  const auto value = job.metrics().find(name);
  return value == job.metrics().end() ? "-" : NumberText(value->second);
}

Rows JobRows(const std::vector<v1::Job>& jobs, bool wide, absl::Time now) {
  Rows rows = {{"NAME", "STATE", "TASK", "RANKS", "PROGRESS", "LOSS", "AGE"}};
  const std::vector<std::string> more = {"REASON",  "TOKENS/S", "ETA",   "ATTEMPTS",
                                         "PROJECT", "PRIORITY", "AFTER", "OUTPUT"};
  if (wide) rows[0].insert(rows[0].end(), more.begin(), more.end());
  rows[0].push_back("DISPLAY_NAME");
  for (const v1::Job& job : jobs) {
    std::vector<std::string> row = {job.name(),
                                    StateName(job.state()),
                                    job.spec().task(),
                                    std::to_string(job.ranks()),
                                    ProgressText(job),
                                    MetricText(job, "loss"),
                                    AgeText(TimeOf(job.create_time()), now)};
    if (wide) {
      const v1::Progress& progress = job.progress();
      const double rate = progress.tokens_per_second();
      row.insert(row.end(),
                 {ReasonName(job.reason()),
                  rate > 0 ? GroupedText(static_cast<int64_t>(rate)) : std::string("-"),
                  progress.has_eta_seconds() ? ClockText(progress.eta_seconds()) : std::string("-"),
                  std::to_string(job.attempts_size()), job.spec().project(),
                  std::to_string(job.spec().priority()),
                  job.spec().after().empty() ? "-" : job.spec().after(), job.output_dir()});
    }
    row.push_back(FitWidth(Printable(job.spec().display_name()), wide ? 120 : 40));
    rows.push_back(std::move(row));
  }
  return rows;
}

Rows CheckpointRows(const std::vector<v1::Checkpoint>& checkpoints, absl::Time now) {
  Rows rows = {{"STEP", "EPOCH", "STATE", "AGE", "SHA256", "PATH"}};
  for (const v1::Checkpoint& checkpoint : checkpoints) {
    rows.push_back({std::to_string(checkpoint.step()), std::to_string(checkpoint.epoch()),
                    CheckpointStateName(checkpoint.state()),
                    AgeText(TimeOf(checkpoint.commit_time()), now),
                    checkpoint.sha256().substr(0, 12), checkpoint.path()});
  }
  return rows;
}

}  // namespace anamnesis::cli
