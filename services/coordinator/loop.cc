// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "common/base/sha256.h"
#include "services/coordinator/convert.h"

namespace anamnesis::coordinator {
namespace {

std::string NewToken() {
  std::random_device random;
  std::string token;
  for (int i = 0; i < 8; ++i) {
    char word[9];
    std::snprintf(word, sizeof word, "%08x", random());
    token += word;
  }
  return token;
}

Json FieldsOf(core::JobId job, const core::Transition& transition) {
  return {{"job", NameOf(job)},
          {"from", core::NameOf(transition.from)},
          {"to", core::NameOf(transition.to)},
          {"reason", core::NameOf(transition.reason)},
          {"epoch", transition.epoch}};
}

}  // namespace

v1::Grant MakeGrant(const core::Job& job, const LoopOptions& options) {
  v1::Grant grant;
  grant.set_epoch(job.attempts.back().epoch);
  *grant.mutable_spec() = ToProto(job.spec);
  grant.set_ranks(static_cast<int32_t>(job.resolved.ranks));
  grant.set_threads_per_rank(static_cast<int32_t>(options.threads_per_slot));
  grant.set_data_directory(options.data_directory);
  // The same for all attempts of the job, another for every other job.
  grant.set_run_id(Sha256Hex(Cat(options.data_directory, " ", static_cast<int64_t>(job.id), " ",
                                 absl::ToUnixMicros(job.create_time)))
                       .substr(0, 16));
  grant.set_heartbeat_interval_ms(absl::ToInt64Milliseconds(options.core.heartbeat_interval));
  grant.set_lease_ms(absl::ToInt64Milliseconds(options.core.lease));
  grant.set_acknowledged_sequence(job.acknowledged_sequence);
  grant.set_committed_step(job.latest_checkpoint ? job.latest_checkpoint->step : 0);
  return grant;
}

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
  ANAM_ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  state_ = core::Restore(std::move(loaded.jobs), loaded.next_job_id, Now());
  for (const auto& [id, job] : state_.jobs) {
    parts_.board.Publish(std::make_shared<const core::Job>(job));
    if (job.attempts.empty() || !job.attempts.back().holds_slots) continue;
    const core::Attempt& attempt = job.attempts.back();
    if (attempt.worker.pid == 0) continue;  // it attaches, or its lease runs out
    const bool rebooted = attempt.worker.boot_id != boot_id;
    if (!rebooted && parts_.launcher.Adopt(id, attempt.worker).ok()) continue;
    Post(core::WorkerGone{.job = id,
                          .epoch = attempt.epoch,
                          .reason = rebooted ? core::Reason::kReboot : core::Reason::kWorkerLost,
                          .message = rebooted ? "the machine was started anew"
                                              : "the worker ended while no coordinator was there"});
  }
  return absl::OkStatus();
}

void Loop::Ring() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void Loop::Post(core::Event event, Reply reply) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back({std::move(event), std::move(reply), parts_.clock.Monotonic()});
    if (commands_.size() > 1) return;  // the bell has been rung
  }
  Ring();
}

void Loop::Ask(std::function<void(const core::State&)> question) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    questions_.push_back(std::move(question));
  }
  Ring();
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
}

bool Loop::ShouldEnd() const {
  return ending_ || (parking_ && state_.parking && parts_.launcher.empty());
}

void Loop::Wait() {
  std::vector<pollfd> fds = {{event_.get(), POLLIN, 0}};
  parts_.launcher.AddDescriptors(&fds);
  const absl::Duration wake = core::NextWake(state_, Now(), options_.core);
  const auto wait_ms = static_cast<int>(std::clamp<int64_t>(
      wake == absl::InfiniteDuration() ? 60'000 : absl::ToInt64Milliseconds(wake) + 1, 0, 60'000));
  ::poll(fds.data(), fds.size(), wait_ms);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_.get(), &count, sizeof count);
}

void Loop::Turn() {
  std::vector<Command> commands;
  std::vector<std::function<void(const core::State&)>> questions;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands.swap(commands_);
    questions.swap(questions_);
  }
  if (killing_) parts_.launcher.KillAll();
  const core::Now now = Now();
  Pending pending;
  for (const core::JobId job : parts_.launcher.TakeGone()) {
    told_kill_.erase(job);
    const core::Job* known = state_.Find(job);
    if (known == nullptr || known->attempts.empty()) continue;
    const core::WorkerGone gone{
        .job = job, .epoch = known->attempts.back().epoch, .message = "the worker's process ended"};
    Take({gone, nullptr, now.monotonic}, now, &pending);
  }
  for (const Command& command : commands) Take(command, now, &pending);
  DecideAll(now, &pending);
  Finish(&pending);
  for (const auto& question : questions) question(state_);
}

void Loop::Take(const Command& command, const core::Now& now, Pending* pending) {
  if (const auto* detached = std::get_if<core::Detached>(&command.event);
      detached != nullptr && parts_.sessions.Has(detached->job)) {
    return;  // the worker has come back before its old session was seen to end
  }
  const StatusOr<core::Outcome> outcome = Apply(command.event, now, pending);
  if (!outcome.ok()) {
    if (command.reply) pending->refused.emplace_back(command.reply, outcome.status());
    return;
  }
  if (const auto* report = std::get_if<core::Reported>(&command.event)) {
    pending->acknowledged[report->job] = state_.Find(report->job)->acknowledged_sequence;
    parts_.telemetry.OnReport(*report, outcome->new_report);
  }
  if (std::holds_alternative<core::Attached>(command.event)) told_stop_.erase(*outcome->job);
  if (!command.reply) return;
  pending->accepted.emplace_back(
      command.reply, std::make_pair(outcome->job.value_or(core::JobId{0}), outcome->created));
}

bool Loop::Told::SaysMoreThan(const Told& other) const {
  return epoch != other.epoch || (leave && !other.leave) ||
         deadline + absl::Seconds(1) < other.deadline;
}

StatusOr<core::Outcome> Loop::Apply(const core::Event& event, const core::Now& now,
                                    Pending* pending) {
  ANAM_ASSIGN_OR_RETURN(core::Outcome outcome, core::Apply(&state_, event, now, options_.core));
  if (!outcome.job) return outcome;
  if (outcome.changed) pending->changed.insert(*outcome.job);
  for (const core::Transition& transition : outcome.transitions) {
    pending->batch.transitions.emplace_back(*outcome.job, transition);
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
    Place(*place, now, pending);
    return true;
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

void Loop::Place(const core::Place& place, const core::Now& now, Pending* pending) {
  const core::Assign assign{.job = place.job,
                            .slots = place.slots,
                            .token = place.keep_worker ? "" : NewToken(),
                            .keep_worker = place.keep_worker};
  const StatusOr<core::Outcome> outcome = Apply(assign, now, pending);
  if (!outcome.ok()) {  // what Decide proposes, Apply takes
    parts_.log.Warn("place_refused", {{"job", NameOf(place.job)}});
    return;
  }
  const core::Attempt attempt = state_.Find(place.job)->attempts.back();
  told_stop_.erase(place.job);
  pending->after.push_back([this, place, attempt] {
    if (place.keep_worker) {
      v1::SessionResponse message;
      *message.mutable_grant() = MakeGrant(*state_.Find(place.job), options_);
      parts_.sessions.Push(place.job, std::move(message));
    } else {
      Launch(place.job, attempt.epoch, attempt.token);
    }
  });
}

void Loop::Launch(core::JobId job, int64_t epoch, const std::string& token) {
  const StatusOr<core::WorkerProcess> worker = parts_.launcher.Launch(job, epoch, token);
  if (worker.ok()) {
    Post(core::Launched{.job = job, .epoch = epoch, .worker = *worker});
  } else {
    Post(core::LaunchFailed{.job = job, .epoch = epoch, .message = MessageOf(worker.status())});
  }
}

void Loop::TellStop(core::JobId job, int64_t epoch, absl::Duration grace, bool leave) {
  const Told now{.epoch = epoch, .leave = leave, .deadline = Now().monotonic + grace};
  const auto told = told_stop_.find(job);
  if (told != told_stop_.end() && !now.SaysMoreThan(told->second)) return;
  v1::SessionResponse message;
  message.mutable_stop()->set_epoch(epoch);
  message.mutable_stop()->set_grace_ms(leave ? 0 : absl::ToInt64Milliseconds(grace));
  message.mutable_stop()->set_leave(leave);
  if (parts_.sessions.Push(job, std::move(message))) told_stop_[job] = now;
}

void Loop::Kill(const core::Kill& kill) {
  const auto told = told_kill_.find(kill.job);
  if (told != told_kill_.end() && (told->second || !kill.at_once)) return;
  if (parts_.launcher.Kill(kill.job, kill.at_once)) {
    told_kill_[kill.job] = kill.at_once;
  } else {  // never launched, as far as anybody knows
    Post(core::WorkerGone{.job = kill.job, .epoch = kill.epoch, .message = "no worker process"});
  }
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
    state_ = core::Restore(loaded->jobs, loaded->next_job_id, Now());
    state_.parking = parking;
    state_.park_time = park_time;
    for (auto& [key, session] : state_.sessions) {
      if (const auto known = sessions.find(key); known != sessions.end()) session = known->second;
    }
  }
  for (const auto& [reply, refusal] : pending->refused) reply(refusal);
  for (const auto& [reply, applied] : pending->accepted) reply(status);
  parts_.sessions.CloseAll(Unavailable("the coordinator's store failed; come back"));
}

}  // namespace anamnesis::coordinator
