// SPDX-License-Identifier: Apache-2.0
#include "tests/scenario/core_stage.h"

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <utility>

namespace anamnesis::scenario {
namespace {

absl::Duration DurationOf(std::string text) {
  absl::Duration sum = absl::ZeroDuration(), part;
  std::istringstream parts(text);
  for (std::string piece; std::getline(parts, piece, '+');) {
    if (const size_t at = piece.find("min"); at != std::string::npos) piece.replace(at, 3, "m");
    if (!absl::ParseDuration(piece, &part)) {
      std::cerr << "not a duration: " << text << "\n";
      std::abort();
    }
    sum += part;
  }
  return sum;
}

core::Reason ReasonOf(const Command& command, core::Reason otherwise) {
  const std::string name = command.Value("reason");
  return name.empty() ? otherwise : *core::ReasonFromName(name);
}

int64_t Int(const std::string& text) { return text.empty() ? 0 : std::atoll(text.c_str()); }

}  // namespace

CoreStage::CoreStage() : now_{absl::FromUnixSeconds(1'700'000'000), absl::Seconds(1000)} {}

std::string CoreStage::Play(const std::vector<std::string>& commands) {
  output_.clear();
  for (const std::string& line : commands) {
    const Command command = ParseCommand(line);
    if (command.words.empty()) continue;
    line_ = line;
    Run(command);
  }
  PrintDecisions();
  for (const auto& [id, job] : state_.jobs) {
    std::string& known = described_[id];
    const std::string description = Describe(job);
    if (description != known) Print(description);
    known = description;
  }
  return output_;
}

void CoreStage::Run(const Command& command) {
  const std::string& name = command.words[0];
  if (RunByUser(name, command) || RunByCoordinator(name, command) || RunByWorker(name, command) ||
      RunOnStage(name, command)) {
    return;
  }
  Print("there is no command " + name);
}

bool CoreStage::RunByUser(const std::string& name, const Command& command) {
  const core::JobId job = JobOf(command);
  if (name == "submit" || name == "again") {
    Submit(command);
  } else if (name == "cancel") {
    Apply(core::Cancel{job, DurationOf(command.Value("grace", "10min")), "user:ann"});
  } else if (name == "pause") {
    Apply(core::Pause{job, "user:ann"});
  } else if (name == "resume") {
    Apply(core::Resume{job, "user:ann"});
  } else {
    return false;
  }
  return true;
}

bool CoreStage::RunByCoordinator(const std::string& name, const Command& command) {
  const core::JobId job = JobOf(command);
  if (name == "place") {
    PlaceAll();
  } else if (name == "assign") {
    Apply(core::Assign{job, {Int(command.Word(2))}, Cat("token ", next_pid_), false});
  } else if (name == "launched") {
    Launch(job);
  } else if (name == "launch_failed") {
    Apply(core::LaunchFailed{job, EpochOf(command), command.Word(2),
                             ReasonOf(command, core::Reason::kLaunchFailed)});
  } else if (name == "engine_waits") {
    Apply(core::EngineWaits{job, EpochOf(command), command.Word(2)});
  } else if (name == "engine") {
    Apply(core::EngineSeen{command.Word(1) == "answers", command.Word(2)});
  } else if (name == "gone") {
    const bool reboot = command.Word(2) == "reboot";
    Apply(core::WorkerGone{
        job, EpochOf(command),
        ReasonOf(command, reboot ? core::Reason::kReboot : core::Reason::kWorkerLost),
        command.Value("message")});
  } else if (name == "expire") {
    if (command.words.size() > 1) {
      Apply(core::LeaseExpired{job, EpochOf(command)});
    } else {
      ExpireAll();
    }
  } else if (name == "cordon" || name == "drain") {
    Apply(core::CordonNode{name == "drain", "user:ann", command.Value("message")});
  } else if (name == "uncordon") {
    Apply(core::UncordonNode{"user:ann"});
  } else if (name == "device") {
    SeeDevice(command);
  } else if (name == "listens_again") {
    Apply(core::ListensAgain{});
  } else if (name == "park") {
    Apply(core::Park{});
  } else {
    return false;
  }
  return true;
}

bool CoreStage::RunByWorker(const std::string& name, const Command& command) {
  const core::JobId job = JobOf(command);
  const std::string third = command.Word(2), fourth = command.Word(3);
  if (name == "attach") {
    const core::Job* found = Find(command);
    std::string token = "none";
    if (found != nullptr && !found->attempts.empty()) {
      const auto epoch = static_cast<size_t>(EpochOf(command));
      token = found->attempts[std::min(epoch, found->attempts.size()) - 1].token;
    }
    Apply(core::Attached{job, EpochOf(command), command.Value("token", token), third == "reattach",
                         "here", next_pid_, command.Number("node", 0)});
  } else if (name == "hear") {
    Apply(core::Heard{job, EpochOf(command), command.Number("node", 0)});
  } else if (name == "detach") {
    Apply(core::Detached{job, EpochOf(command), command.Number("node", 0)});
  } else if (name == "commit") {
    core::Checkpoint checkpoint;
    checkpoint.step = Int(third);
    checkpoint.path = "/out/" + third;
    checkpoint.sha256 = command.Value("sha", "digest of " + third);
    Apply(core::Commit{job, EpochOf(command), checkpoint});
  } else if (name == "phase") {
    const std::string ratio = command.Word(4);
    const size_t slash = ratio.find('/');
    const int64_t total = slash == std::string::npos ? 0 : Int(ratio.substr(slash + 1));
    core::PhaseReported phase{*core::AttemptStateFromName(third), fourth, Int(ratio), total};
    if (!command.Value("eta").empty()) phase.eta_seconds = command.Number("eta", 0);
    Report(command, phase);
  } else if (name == "started") {
    core::StartedReported started;
    started.total_steps = command.Number("total", 10);
    started.resumed_step = command.Number("resumed", 0);
    if (!command.Value("kept").empty()) started.kept_ranks = {command.Number("kept", 0)};
    if (!command.Value("note").empty()) started.notes = {command.Value("note")};
    Report(command, started);
  } else if (name == "step") {
    Report(command, core::StepReported{.step = Int(third),
                                       .tokens = command.Number("tokens", 10),
                                       .seconds = double(command.Number("seconds", 1))});
  } else if (name == "eval") {
    Report(command, core::EvalReported{Int(third), 0, std::stod(command.Value("loss"))});
  } else if (name == "saved") {
    Report(command, core::SavedReported{Int(third), "/out", 1});
  } else if (name == "fail") {
    Report(command,
           core::FailedReported{*core::ReasonFromName(third), fourth, command.Number("last", 0)});
  } else if (name == "stopped") {
    Report(command, core::StoppedReported{Int(third), fourth == "saved"});
  } else if (name == "done") {
    Report(command, core::DoneReported{Int(third), "final digest", "/out/final_model"});
  } else {
    return false;
  }
  return true;
}

bool CoreStage::RunOnStage(const std::string& name, const Command& command) {
  if (name == "options") {
    SetOptions(command);
  } else if (name == "run") {
    RunUp(command);
  } else if (name == "tick") {
    const absl::Duration step = DurationOf(command.Word(1));
    now_.wall += step;
    now_.monotonic += step;
  } else if (name == "restart") {
    std::vector<core::Job> jobs;
    for (const auto& [id, job] : state_.jobs) jobs.push_back(job);
    state_ = core::Restore(std::move(jobs), state_.next_job_id, state_.cordon, now_);
  } else if (name == "explain") {
    Print(Cat("explain ", command.Word(1), ": ",
              core::Explain(state_, JobOf(command), now_, options_)));
  } else if (name == "show") {
    Print("show " + Describe(*Find(command)));
  } else if (name == "progress") {
    PrintProgress(*Find(command));
  } else {
    return false;
  }
  return true;
}

void CoreStage::SetOptions(const Command& command) {
  options_.num_slots = command.Number("slots", options_.num_slots);
  options_.ranks_per_node = command.Number("ranks_per_node", options_.ranks_per_node);
  for (const auto& [key, value] : command.values) {
    if (key == "retry_base") options_.retry_base = DurationOf(value);
    if (key == "retry_limit") options_.retry_limit = DurationOf(value);
  }
}

// device SLOT [free=GiB] [pid= session= name= uses=GiB]: of 80 GiB; the other slots' are not looked
// at.
void CoreStage::SeeDevice(const Command& command) {
  constexpr int64_t kGibibyte = int64_t{1} << 30;
  core::SlotSight sight{.slot = Int(command.Word(1)),
                        .device = "GPU " + command.Word(1),
                        .memory_bytes = 80 * kGibibyte,
                        .free_bytes = command.Number("free", 80) * kGibibyte};
  if (const int64_t pid = command.Number("pid", 0); pid != 0) {
    sight.processes.push_back({.pid = pid,
                               .session = command.Number("session", 0),
                               .name = command.Value("name"),
                               .memory_bytes = command.Number("uses", 0) * kGibibyte});
  }
  Apply(core::SlotsSeen{{sight}});
}

void CoreStage::Submit(const Command& command) {
  const std::string name = command.Word(1);
  core::Submit submit;
  submit.request_id = command.Value("request");
  submit.actor = "user:ann";
  submit.spec.config_yaml = command.Value("spec");
  submit.spec.priority = command.Number("priority", 0);
  if (const std::string after = command.Value("after"); !after.empty()) {
    const auto found = names_.find(after);
    submit.spec.after = found == names_.end() ? core::JobId{999} : found->second;
  }
  submit.resolved.ranks = command.Number("ranks", 1);
  submit.resolved.output_dir = command.Value("dir", Cat("/out/", name));
  const auto outcome = core::Apply(&state_, submit, now_, options_);
  if (!outcome.ok()) {
    Print(Cat("refused: ", line_, ": ", outcome.status().ToString()));
    return;
  }
  if (outcome->created) names_[name] = *outcome->job;
  Print(Cat(outcome->created ? "created " : "known ", NameOf(*outcome->job), " as ",
            core::NameOf(*outcome->job)));
}

void CoreStage::PlaceAll() {
  for (const core::Decision& decision : core::Decide(state_, now_, options_)) {
    const auto* place = std::get_if<core::Place>(&decision.what);
    if (place == nullptr) continue;
    Print(Describe(decision));
    const std::string token = Cat("token ", next_pid_);
    if (!Apply(core::Assign{place->job, place->slots, token, place->keep_worker})) continue;
    if (!place->keep_worker) Launch(place->job);
  }
}

void CoreStage::ExpireAll() {
  for (const core::Decision& decision : core::Decide(state_, now_, options_)) {
    const auto* expire = std::get_if<core::Expire>(&decision.what);
    if (expire != nullptr) Apply(core::LeaseExpired{expire->job, expire->epoch});
  }
}

void CoreStage::Launch(core::JobId job) {
  const auto epoch = static_cast<int64_t>(state_.Find(job)->attempts.size());
  Apply(core::Launched{job, epoch, {"here", "boot 1", next_pid_++, 7}});
}

void CoreStage::RunUp(const Command& command) {
  const std::string name = command.Word(1);
  const std::string outer = line_;
  for (const char* line : {"attach ", "phase NAME preparing shards", "phase NAME rendezvous model",
                           "started ", "step NAME 1"}) {
    line_ = line;
    const size_t at = line_.find("NAME");
    at == std::string::npos ? line_ += name : line_.replace(at, 4, name);
    Run(ParseCommand(line_));
  }
  line_ = outer;
}

void CoreStage::Report(const Command& command, decltype(core::Reported::what) what) {
  const core::Job* job = Find(command);
  const int64_t next = job == nullptr ? 1 : job->acknowledged_sequence + 1;
  Apply(core::Reported{JobOf(command), EpochOf(command), command.Number("seq", next), now_.wall,
                       std::move(what)});
}

bool CoreStage::Apply(const core::Event& event) {
  const auto outcome = core::Apply(&state_, event, now_, options_);
  if (!outcome.ok()) {
    // Without the payload, which ToString would add.
    Print(Cat("refused: ", line_, ": ", absl::StatusCodeToString(outcome.status().code()), ": ",
              MessageOf(outcome.status()), core::IsStaleEpoch(outcome.status()) ? " [stale]" : ""));
    return false;
  }
  for (const core::Transition& t : outcome->transitions) PrintTransition(*outcome->job, t);
  for (const auto& [id, t] : outcome->consequences) PrintTransition(id, t);
  const bool is_commit = std::holds_alternative<core::Commit>(event);
  if (is_commit) Print(Cat(line_, outcome->checkpoint ? ": granted" : ": granted again"));
  if (const auto* report = std::get_if<core::Reported>(&event); report && !outcome->new_report) {
    Print(line_ + ": known already");
  }
  return true;
}

void CoreStage::PrintTransition(core::JobId job, const core::Transition& t) {
  Print(Cat(NameOf(job), ": ", core::NameOf(t.from), " -> ", core::NameOf(t.to), " (",
            core::NameOf(t.reason), " by ", t.actor, ")",
            t.message.empty() ? "" : ": " + t.message));
}

core::JobId CoreStage::JobOf(const Command& command) const {
  const auto found = names_.find(command.Word(1));
  return found == names_.end() ? core::JobId{999} : found->second;
}

core::Job* CoreStage::Find(const Command& command) { return state_.Find(JobOf(command)); }

int64_t CoreStage::EpochOf(const Command& command) {
  const core::Job* job = Find(command);
  const auto last = job == nullptr ? 0 : static_cast<int64_t>(job->attempts.size());
  return command.Number("epoch", last);
}

}  // namespace anamnesis::scenario
