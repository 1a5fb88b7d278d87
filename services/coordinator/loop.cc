// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "services/coordinator/convert.h"
#include "services/coordinator/token.h"

namespace anamnesis::coordinator {
namespace {

Json FieldsOf(core::JobId job, const core::Transition& transition) {
  return {{"job", NameOf(job)},
          {"from", core::NameOf(transition.from)},
          {"to", core::NameOf(transition.to)},
          {"reason", core::NameOf(transition.reason)},
          {"epoch", transition.epoch}};
}

}  // namespace

StatusOr<std::unique_ptr<Loop>> Loop::Create(LoopOptions options, Parts parts) {
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  std::unique_ptr<Loop> loop(new Loop(std::move(options), parts, std::move(event)));
  ANAM_RETURN_IF_ERROR(loop->Restore());
  return loop;
}

Loop::Loop(LoopOptions options, Parts parts, FileDescriptor event)
    : options_(std::move(options)), parts_(parts), event_(std::move(event)) {}

Status Loop::Restore() {
  ANAM_ASSIGN_OR_RETURN(store::Loaded loaded, parts_.store.Load());
  state_ =
      core::Restore(std::move(loaded.jobs), loaded.next_job_id, std::move(loaded.cordon), Now());
  std::vector<launch::Known> known;
  for (const auto& [id, job] : state_.jobs) {
    parts_.board.Publish(std::make_shared<const core::Job>(job));
    if (job.attempts.empty() || !job.attempts.back().holds_slots) continue;
    known.push_back({id, job.attempts.back().epoch, job.attempts.back().worker});
  }
  parts_.launcher.Reconcile(known);
  return absl::OkStatus();
}

void Loop::Ring() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void Loop::Post(core::Event event, Reply reply) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) {
      commands_.push_back({std::move(event), std::move(reply)});
      if (commands_.size() == 1) Ring();  // else the bell has been rung
      return;
    }
  }
  if (reply) reply(Unavailable("the coordinator ends"));
}

void Loop::Ask(Question question) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) {
      questions_.push_back(std::move(question));
      return Ring();
    }
  }
  question(nullptr);
}

void Loop::Shutdown(bool park) {
  if (park) {
    parking_ = true;
    Post(core::Park{});
  } else {
    ending_ = true;
  }
  Ring();
}

void Loop::KillWorkers() {
  killing_ = true;
  Ring();
}

void Loop::Run() {
  while (!ShouldEnd()) {
    Wait();
    Turn();
  }
  Close();
}

void Loop::Close() {
  std::vector<Command> commands;
  std::vector<Question> questions;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    commands.swap(commands_);
    questions.swap(questions_);
  }
  for (const Command& command : commands) {
    if (command.reply) command.reply(Unavailable("the coordinator ends"));
  }
  for (const Question& question : questions) question(nullptr);
}

bool Loop::ShouldEnd() const {
  return ending_ || (parking_ && state_.parking && !parts_.launcher.busy());
}

void Loop::Wait() {
  std::vector<pollfd> fds = {{event_.get(), POLLIN, 0}};
  parts_.launcher.AddDescriptors(&fds);
  const absl::Duration wake = core::NextWake(state_, Now(), options_.core);
  const int64_t longest_ms = undone_.empty() ? 60'000 : 1'000;  // then the store is tried again
  const auto wait_ms = static_cast<int>(std::clamp<int64_t>(
      wake == absl::InfiniteDuration() ? longest_ms : absl::ToInt64Milliseconds(wake) + 1, 0,
      longest_ms));
  const absl::Duration end = parts_.clock.Monotonic() + absl::Milliseconds(wait_ms);
  ::poll(fds.data(), fds.size(), wait_ms);
  NoticeDelay(parts_.clock.Monotonic() - end);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_.get(), &count, sizeof count);
}

void Loop::Turn() {
  std::vector<Command> commands;
  std::vector<Question> questions;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands.swap(commands_);
    questions.swap(questions_);
  }
  if (killing_) parts_.launcher.StopAll();
  const core::Now now = Now();
  Pending pending;
  if (std::exchange(was_held_up_, false)) Take({core::ListensAgain{}, nullptr}, now, &pending);
  for (core::Event& event : std::exchange(undone_, {})) {
    Take({std::move(event), nullptr}, now, &pending);
  }
  for (core::Event& event : parts_.launcher.Observe()) {
    if (const auto* gone = std::get_if<core::WorkerGone>(&event)) told_kill_.erase(gone->job);
    Take({std::move(event), nullptr}, now, &pending);
  }
  for (const Command& command : commands) Take(command, now, &pending);
  DecideAll(now, &pending);
  Finish(&pending);
  for (const Question& question : questions) question(&state_);
  NoticeDelay(parts_.clock.Monotonic() - now.monotonic);
}

void Loop::NoticeDelay(absl::Duration delay) {
  if (delay < options_.core.heartbeat_interval) return;
  was_held_up_ = true;
  parts_.log.Warn("held_up", {{"seconds", absl::ToDoubleSeconds(delay)}});
}

void Loop::Take(const Command& command, const core::Now& now, Pending* pending) {
  if (const auto* detached = std::get_if<core::Detached>(&command.event);
      detached != nullptr && (parts_.sessions.Has({detached->job, detached->node}) ||
                              pending->attached.contains({detached->job, detached->node}))) {
    return;  // the worker has come back before its old session was seen to end
  }
  const StatusOr<core::Outcome> outcome = Apply(command.event, now, pending);
  if (!outcome.ok()) {
    if (command.reply) pending->refused.emplace_back(command.reply, outcome.status());
    return;
  }
  if (const auto* report = std::get_if<core::Reported>(&command.event)) {
    pending->acknowledged[report->job] = state_.Find(report->job)->acknowledged_sequence;
    pending->after.push_back([this, report = *report, is_new = outcome->new_report] {
      parts_.telemetry.OnReport(report, is_new);
    });
  }
  if (const auto* attached = std::get_if<core::Attached>(&command.event)) {
    told_stop_.erase(attached->job);
    pending->attached.insert({attached->job, attached->node});
    if (attached->node == 0) {
      pending->after.push_back([this, job = attached->job] {
        const core::Attempt& attempt = state_.Find(job)->attempts.back();
        parts_.launcher.Meet(job, attempt.epoch, attempt.worker);
      });
    }
  }
  if (std::holds_alternative<core::Launched>(command.event) ||
      std::holds_alternative<core::LaunchFailed>(command.event) ||
      std::holds_alternative<core::WorkerGone>(command.event)) {
    pending->facts.push_back(command.event);
  }
  if (!command.reply) return;
  pending->accepted.emplace_back(
      command.reply, std::make_pair(outcome->job.value_or(core::JobId{0}), outcome->created));
}

StatusOr<core::Outcome> Loop::Apply(const core::Event& event, const core::Now& now,
                                    Pending* pending) {
  ANAM_ASSIGN_OR_RETURN(core::Outcome outcome, core::Apply(&state_, event, now, options_.core));
  if (outcome.cordon_changed) pending->batch.cordon = &state_.cordon;
  if (!outcome.job) return outcome;
  if (outcome.changed) pending->changed.insert(*outcome.job);
  for (const core::Transition& transition : outcome.transitions) {
    pending->batch.transitions.emplace_back(*outcome.job, transition);
  }
  for (const auto& [id, transition] : outcome.consequences) {
    pending->changed.insert(id);
    pending->batch.transitions.emplace_back(id, transition);
  }
  if (outcome.checkpoint)
    pending->batch.checkpoints.emplace_back(*outcome.job, *outcome.checkpoint);
  if (const auto* report = std::get_if<core::Reported>(&event); report && outcome.new_report) {
    if (const auto point = PointOf(*report))
      pending->batch.points.emplace_back(report->job, *point);
  }
  return outcome;
}

void Loop::DecideAll(const core::Now& now, Pending* pending) {
  // A decision that changes the state may make others possible or void: decide anew after it.
  for (bool changed = true; changed;) {
    changed = false;
    for (const core::Decision& decision : core::Decide(state_, now, options_.core)) {
      changed = Carry(decision, now, pending);
      if (changed) break;
    }
  }
}

// True when the state has changed.
bool Loop::Carry(const core::Decision& decision, const core::Now& now, Pending* pending) {
  if (const auto* place = std::get_if<core::Place>(&decision.what)) {
    return Place(*place, now, pending);
  }
  if (const auto* expire = std::get_if<core::Expire>(&decision.what)) {
    return Apply(core::LeaseExpired{.job = expire->job, .epoch = expire->epoch}, now, pending).ok();
  }
  pending->after.push_back([this, decision] {
    if (const auto* stop = std::get_if<core::Stop>(&decision.what)) {
      TellStop(stop->job, stop->epoch, stop->grace, /*leave=*/false);
    } else if (const auto* dismiss = std::get_if<core::Dismiss>(&decision.what)) {
      TellStop(dismiss->job, dismiss->epoch, absl::ZeroDuration(), /*leave=*/true);
    } else if (const auto* kill = std::get_if<core::Kill>(&decision.what)) {
      Kill(*kill);
    }
  });
  return false;
}

bool Loop::Place(const core::Place& place, const core::Now& now, Pending* pending) {
  const core::Assign assign{.job = place.job,
                            .slots = place.slots,
                            .token = place.keep_worker ? "" : NewToken(),
                            .keep_worker = place.keep_worker};
  const StatusOr<core::Outcome> outcome = Apply(assign, now, pending);
  if (!outcome.ok()) {  // what Decide proposes, Apply takes
    parts_.log.Warn("place_refused", {{"job", NameOf(place.job)}});
    return false;
  }
  told_stop_.erase(place.job);
  pending->after.push_back([this, place] {
    if (place.keep_worker) {
      v1::SessionResponse message;
      *message.mutable_grant() = MakeGrant(*state_.Find(place.job), options_);
      parts_.sessions.PushToAll(place.job, message);
    } else {
      Launch(place.job);
    }
  });
  return true;
}

void Loop::Finish(Pending* pending) {
  for (const core::JobId id : pending->changed) pending->batch.jobs[id] = state_.Find(id);
  const absl::Duration begin = parts_.clock.Monotonic();
  const Status written =
      pending->batch.empty() ? absl::OkStatus() : parts_.store.Write(pending->batch);
  if (!pending->batch.empty()) parts_.telemetry.OnCommit(parts_.clock.Monotonic() - begin);
  if (!written.ok()) return Undo(written, pending);
  for (const auto& [id, transition] : pending->batch.transitions) {
    parts_.log.Info("transition", FieldsOf(id, transition));
    parts_.telemetry.OnTransition(transition);
  }
  for (const core::JobId id : pending->changed) {
    parts_.board.Publish(std::make_shared<const core::Job>(*state_.Find(id)));
  }
  for (const auto& [reply, status] : pending->refused) reply(status);
  for (const auto& [reply, applied] : pending->accepted) {
    reply(Applied{.job = parts_.board.Find(applied.first), .created = applied.second});
  }
  for (const auto& [id, sequence] : pending->acknowledged) {
    v1::SessionResponse message;
    message.mutable_ack()->set_sequence(sequence);
    parts_.sessions.Push(id, std::move(message));
  }
  for (const auto& action : pending->after) action();
}

// Nothing of this turn is durable: everybody is told, and the state becomes again what is stored.
// Workers keep their sessions; what they reported is not acknowledged and comes again.
void Loop::Undo(const Status& status, Pending* pending) {
  parts_.log.Warn("store_failed", {{"code", static_cast<int>(status.code())}});
  parts_.telemetry.OnStoreFailure();
  const StatusOr<store::Loaded> loaded = parts_.store.Load();
  if (!loaded.ok()) {
    parts_.log.Warn("store_unreadable", {{"code", static_cast<int>(loaded.status().code())}});
    ending_ = true;  // workers go on; the next start says what is wrong
  } else {
    const bool parking = state_.parking;
    const absl::Duration park_time = state_.park_time;
    auto sessions = std::move(state_.sessions);
    auto slot_faults = std::move(state_.slot_faults);
    state_ = core::Restore(loaded->jobs, loaded->next_job_id, loaded->cordon, Now());
    state_.slot_faults = std::move(slot_faults);
    state_.parking = parking;
    state_.park_time = park_time;
    for (auto& [key, session] : state_.sessions) {
      if (const auto known = sessions.find(key); known != sessions.end()) session = known->second;
    }
  }
  undone_ = std::move(pending->facts);
  // A refusal may rest on what is undone now. No code of the store's is an answer to a request, and
  // a worker would take some of them for final.
  const bool is_disk = status.code() == absl::StatusCode::kResourceExhausted;
  const Status answer =
      is_disk ? status : Unavailable("the coordinator's store: ", MessageOf(status));
  for (const auto& [reply, refusal] : pending->refused) reply(answer);
  for (const auto& [reply, applied] : pending->accepted) reply(answer);
  parts_.sessions.CloseAll(Unavailable("the coordinator's store failed; come back"));
}

}  // namespace anamnesis::coordinator
