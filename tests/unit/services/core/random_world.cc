// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/services/core/random_world.h"

#include <iterator>
#include <set>
#include <sstream>
#include <utility>

namespace anamnesis::core {
namespace {

constexpr int64_t kMaxJobs = 30;

// What a refused event must leave as it was.
std::string Print(const Job& job) {
  std::ostringstream out;
  out << NameOf(job.state) << NameOf(job.reason) << job.message << job.update_time
      << job.acknowledged_sequence << " " << job.steps_executed << " " << job.failures.size()
      << job.progress.step << job.progress.phase << job.stop_deadline.value_or(absl::Time())
      << job.retry_time.value_or(absl::Time()) << job.end_time.value_or(absl::Time());
  if (job.latest_checkpoint) out << job.latest_checkpoint->step << job.latest_checkpoint->epoch;
  for (const Attempt& attempt : job.attempts) {
    out << "; " << attempt.epoch << NameOf(attempt.state) << NameOf(attempt.reason)
        << attempt.holds_slots << attempt.token << attempt.worker.pid << attempt.reattached;
    for (const int64_t slot : attempt.slots) out << "," << slot;
  }
  return out.str();
}

std::string Print(const State& state) {
  std::ostringstream out;
  out << state.next_job_id << state.parking << state.queue.size() << state.recovering.size()
      << state.followers.size() << state.by_request_id.size() << state.by_output_dir.size();
  for (const auto& [id, job] : state.jobs) out << "\n" << NameOf(id) << Print(job);
  for (const auto& [key, session] : state.sessions) {
    out << "\n"
        << NameOf(key.first) << key.second << session.attached << session.launching
        << session.last_heard << session.idle_since;
    for (const Line& line : session.others) {
      out << ", " << line.attached << line.launching << line.last_heard;
    }
  }
  return out.str();
}

// What a decision says, without the grace, which shrinks all the time.
std::string Print(const std::vector<Decision>& decisions) {
  std::ostringstream out;
  for (const Decision& decision : decisions) {
    out << decision.what.index() << decision.reason;
    if (const auto* place = std::get_if<Place>(&decision.what)) out << NameOf(place->job);
    if (const auto* kill = std::get_if<Kill>(&decision.what)) out << NameOf(kill->job);
    out << "\n";
  }
  return out.str();
}

}  // namespace

RandomWorld::RandomWorld(uint64_t seed)
    : rng_(seed), now_{absl::FromUnixSeconds(1'700'000'000), absl::Seconds(1000)} {
  options_.num_slots = 1 + Draw(5);
  options_.ranks_per_node = Draw(3);
}

bool RandomWorld::Do(const Event& event) {
  const std::string before = Print(state_);
  const StatusOr<Outcome> outcome = Apply(&state_, event, now_, options_);
  if (!outcome.ok()) {
    ++num_refused_;
    EXPECT_EQ(Print(state_), before) << "refused, yet changed: " << outcome.status();
    return false;
  }
  ++num_accepted_;
  CheckSlotsByHand();
  CheckHistory(event, *outcome);
  return true;
}

void RandomWorld::CheckSlotsByHand() const {
  std::set<int64_t> held;
  for (const auto& [id, job] : state_.jobs) {
    int64_t active = 0;
    for (const Attempt& attempt : job.attempts) {
      active += IsOver(attempt.state) ? 0 : 1;
      if (!attempt.holds_slots) continue;
      EXPECT_EQ(static_cast<int64_t>(attempt.slots.size()), job.resolved.ranks);
      for (const int64_t slot : attempt.slots) {
        EXPECT_TRUE(held.insert(slot).second) << "slot " << slot << " is held twice";
        EXPECT_TRUE(slot >= 0 && slot < options_.num_slots);
      }
    }
    EXPECT_LE(active, 1) << NameOf(id);
  }
}

void RandomWorld::CheckHistory(const Event& event, const Outcome& outcome) {
  for (const auto& [id, job] : state_.jobs) {
    if (const auto end = ended_.find(id); end != ended_.end()) {
      EXPECT_EQ(end->second, Cat(NameOf(job.state), *job.end_time)) << NameOf(id);
    } else if (IsTerminal(job.state)) {
      ended_[id] = Cat(NameOf(job.state), *job.end_time);
    }
    CheckFollowing(job);
    const auto epoch = static_cast<int64_t>(job.attempts.size());
    EXPECT_TRUE(epoch == epochs_[id] || epoch == epochs_[id] + 1) << NameOf(id);
    epochs_[id] = epoch;
  }
  const auto* commit = std::get_if<Commit>(&event);
  EXPECT_TRUE(commit != nullptr || !outcome.checkpoint);
  if (!outcome.checkpoint) return;
  const Job& job = *state_.Find(commit->job);
  ASSERT_NE(job.active(), nullptr);
  EXPECT_EQ(job.active()->epoch, commit->epoch);
  EXPECT_EQ(job.latest_checkpoint->step, commit->checkpoint.step);
  int64_t& last = committed_steps_[{commit->job, commit->epoch}];
  EXPECT_GT(commit->checkpoint.step, last);
  last = commit->checkpoint.step;
}

// A job begins only after the one that it follows, and has its end when that one did not succeed.
void RandomWorld::CheckFollowing(const Job& job) const {
  if (!job.spec.after) return;
  const Job& followed = *state_.Find(*job.spec.after);
  const bool may_start = followed.state == JobState::kSucceeded;
  EXPECT_TRUE(may_start || job.attempts.empty()) << NameOf(job.id);
  if (IsTerminal(followed.state) && !may_start) {
    EXPECT_EQ(job.state, JobState::kCancelled) << NameOf(job.id);
  }
  const bool waits = !IsTerminal(followed.state) && !IsTerminal(job.state);
  const auto followers = state_.followers.find(followed.id);
  EXPECT_EQ(followers != state_.followers.end() && followers->second.contains(job.id), waits);
  EXPECT_EQ(state_.queue.contains(PlaceOf(job)), job.state == JobState::kQueued && may_start);
}

// Mostly one that is not over.
JobId RandomWorld::AnyJob() {
  std::vector<JobId> open;
  for (const auto& [id, job] : state_.jobs) {
    if (!IsTerminal(job.state) || state_.FindSession(job) != nullptr) open.push_back(id);
  }
  if (!open.empty() && Chance(0.9)) {
    return open[static_cast<size_t>(Draw(static_cast<int64_t>(open.size())))];
  }
  return JobId{1 + Draw(state_.next_job_id + 1)};
}

int64_t RandomWorld::AnyEpoch(JobId id) {
  const Job* job = state_.Find(id);
  const auto last = job == nullptr ? 1 : static_cast<int64_t>(job->attempts.size());
  return Chance(0.9) ? last : last + 1 - Draw(4);
}

Event RandomWorld::AnyReport(JobId id, int64_t epoch) {
  const Job* job = state_.Find(id);
  Reported report;
  report.job = id;
  report.epoch = epoch;
  report.sequence =
      (job == nullptr ? 0 : job->acknowledged_sequence) + (Chance(0.85) ? 1 : Draw(4) - 1);
  const int64_t step = job == nullptr ? 1 : job->progress.step + 1;
  constexpr Reason kReasons[] = {Reason::kRankFailed, Reason::kRankFailed,   Reason::kRankFailed,
                                 Reason::kDiskFull,   Reason::kInvalidInput, Reason::kOutOfMemory,
                                 Reason::kParked};
  switch (Draw(12)) {
    case 0:
      report.what = PhaseReported{AttemptState::kPreparing, "shards", 1, 2};
      break;
    case 1:
    case 2:
      report.what = PhaseReported{AttemptState::kRendezvous, "model", 0, 0};
      break;
    case 3:
      report.what = StartedReported{100, step - 1, step - 2, {}, {"note"}};
      break;
    case 4:
      report.what = EvalReported{step, 0, 0.5};
      break;
    case 5:
      if (Chance(0.5)) {
        report.what = DoneReported{step, "digest", "/out"};
        break;
      }
      [[fallthrough]];
    case 6:
      report.what = FailedReported{kReasons[Draw(7)], "why", Draw(4)};
      break;
    case 7:
      if (Chance(0.5)) {
        report.what = StoppedReported{step, true};
        break;
      }
      [[fallthrough]];
    default:
      report.what = StepReported{step, 0, 1, 1, 1, 10, 1};
  }
  return report;
}

Event RandomWorld::AnyEvent() {
  const JobId id = AnyJob();
  const int64_t epoch = AnyEpoch(id);
  const Job* job = state_.Find(id);
  switch (Draw(24)) {
    case 0:
    case 1: {
      Submit submit;
      submit.spec.priority = Draw(3);
      submit.resolved.ranks = 1 + Draw(options_.num_slots + 1);
      submit.resolved.output_dir = Cat("/out/", Draw(kMaxJobs));
      if (Chance(0.4)) submit.spec.after = JobId{1 + Draw(state_.next_job_id)};
      if (Chance(0.3)) submit.request_id = Cat("request ", Draw(5));
      if (state_.next_job_id <= kMaxJobs) return submit;
      return Heard{id, epoch};
    }
    case 2:
      return Chance(0.1) ? Event(Cancel{id, absl::Seconds(Draw(100)), "user:ann"})
                         : Event(Heard{id, epoch});
    case 3:
      return Chance(0.3) ? Event(Pause{id, "user:ann"}) : Event(Heard{id, epoch});
    case 4:
    case 5:
      return Resume{id, "user:ann"};
    case 6:
      return Assign{id, {Draw(4)}, Cat("token ", next_token_++), Chance(0.5)};
    case 7:
      return Launched{id, epoch, {"here", "boot", 100 + Draw(100), 7}};
    case 8:
      if (Chance(0.3)) return LaunchFailed{id, epoch, "no"};
      if (Chance(0.3)) return EngineWaits{id, epoch, Cat("queue ", Draw(3))};
      return Heard{id, epoch, Draw(3)};
    case 9:
      if (Chance(0.5)) return Heard{id, epoch};
      if (Chance(0.1)) return WorkerGone{id, epoch, Reason::kEngineCancelled, "cancelled"};
      return WorkerGone{id, epoch, Chance(0.5) ? Reason::kReboot : Reason::kWorkerLost, "gone"};
    case 10:
      return LeaseExpired{id, epoch};
    case 11:
      return Detached{id, epoch, Chance(0.8) ? 0 : Draw(3)};
    case 12:
    case 13:
    case 14: {
      Attached attached{id, epoch, "token 1", Chance(0.5), "here", 1, Chance(0.8) ? 0 : Draw(3)};
      if (job != nullptr && !job->attempts.empty()) attached.token = job->attempts.back().token;
      return attached;
    }
    case 15:
    case 16: {
      const int64_t step = job == nullptr ? 1 : job->progress.step - Draw(3);
      return Commit{id, epoch, {step, 0, "/out", Chance(0.5) ? "digest" : "other", {}}};
    }
    default:
      return AnyReport(id, epoch);
  }
}

void RandomWorld::CarryOut(const Decision& decision) {
  if (const auto* place = std::get_if<Place>(&decision.what)) {
    const Assign assign{place->job, place->slots, Cat("token ", next_token_++), place->keep_worker};
    ASSERT_TRUE(Do(assign)) << "what Decide says can be done: " << decision.reason;
  } else if (const auto* expire = std::get_if<Expire>(&decision.what)) {
    ASSERT_TRUE(Do(LeaseExpired{expire->job, expire->epoch})) << decision.reason;
  } else if (const auto* kill = std::get_if<Kill>(&decision.what)) {
    Do(WorkerGone{kill->job, kill->epoch, Reason::kWorkerLost, "killed"});
  } else if (const auto* dismiss = std::get_if<Dismiss>(&decision.what)) {
    Do(WorkerGone{dismiss->job, dismiss->epoch, Reason::kWorkerLost, "dismissed"});
  } else if (const auto* stop = std::get_if<Stop>(&decision.what)) {
    EXPECT_GT(stop->grace, absl::ZeroDuration());
  }
}

void RandomWorld::CarryOutSome(double probability) {
  for (const Decision& decision : Decide(state_, now_, options_)) {
    if (Chance(probability)) CarryOut(decision);
  }
}

void RandomWorld::Restart() {
  std::vector<Job> jobs;
  for (const auto& [id, job] : state_.jobs) jobs.push_back(job);
  state_ = Restore(std::move(jobs), state_.next_job_id, state_.cordon, now_);
}

void RandomWorld::HappenToNode() {
  if (Chance(0.5)) {
    Do(UncordonNode{"user:ann"});
  } else if (Chance(0.5)) {
    Do(CordonNode{Chance(0.5), "user:ann", "repair"});
  } else {
    SlotSight sight{.slot = Draw(4), .device = "GPU", .memory_bytes = 100, .free_bytes = 100};
    if (Chance(0.5)) sight.processes.push_back({.pid = 9, .session = 100 + Draw(100)});
    Do(SlotsSeen{{sight}});
  }
}

void RandomWorld::Happen() {
  const int64_t kind = Draw(100);
  if (kind < 25) {
    CarryOutSome(0.8);
  } else if (kind < 40) {
    const absl::Duration step = absl::Milliseconds(Draw(Chance(0.1) ? 20'000 : 500));
    now_.wall += step;
    now_.monotonic += step;
  } else if (kind < 41) {
    Chance(0.8) ? Restart() : static_cast<void>(Do(Park{}));
  } else if (kind < 42) {
    HappenToNode();
  } else if (const JobId id = AnyJob(); kind < 75 && state_.Find(id) != nullptr) {
    Work(*state_.Find(id));
  } else {
    Do(AnyEvent());
  }
}

void RandomWorld::CheckWake() const {
  const absl::Duration wake = NextWake(state_, now_, options_);
  ASSERT_GT(wake, absl::ZeroDuration());
  const std::string said = Print(Decide(state_, now_, options_));
  const auto after = [&](absl::Duration wait) {
    return Print(Decide(state_, {now_.wall + wait, now_.monotonic + wait}, options_));
  };
  if (wake == absl::InfiniteDuration()) {
    EXPECT_EQ(after(absl::Hours(24)), said);
  } else {
    EXPECT_EQ(after(wake - absl::Nanoseconds(1)), said);
  }
}

void RandomWorld::CancelAll() {
  for (int64_t id = 1; id < state_.next_job_id; ++id) {
    const Job& job = *state_.Find(JobId{id});
    if (!IsTerminal(job.state)) {
      EXPECT_TRUE(Do(Cancel{job.id, absl::ZeroDuration(), "user:ann"}));
    }
    if (!job.attempts.empty()) {
      EXPECT_TRUE(Do(WorkerGone{job.id, job.attempts.back().epoch, Reason::kWorkerLost, "killed"}));
    }
  }
}

// What a worker without faults says next.
void RandomWorld::Work(const Job& job) {
  const Session* session = state_.FindSession(job);
  if (session == nullptr || job.attempts.back().state == AttemptState::kLost) return;
  const Attempt& attempt = job.attempts.back();
  if (!session->attached) {
    Do(Attached{job.id, attempt.epoch, attempt.token, true, "here", 1});
    return;
  }
  Do(Heard{job.id, attempt.epoch});
  for (int64_t node = 1; node < attempt.nodes; ++node) {
    Do(Attached{job.id, attempt.epoch, attempt.token, true, "there", 1, node});
  }
  if (IsOver(attempt.state)) return;
  Reported report{job.id, attempt.epoch, job.acknowledged_sequence + 1, now_.wall, {}};
  if (attempt.state == AttemptState::kDraining) {
    report.what = StoppedReported{attempt.last_step, true};
  } else if (attempt.last_step < 6) {
    report.what = StepReported{attempt.last_step + 1, 0, 1, 1, 1, 10, 1};
  } else {
    report.what = DoneReported{6, "digest", "/out"};
  }
  Do(report);
}

bool RandomWorld::WorkInPeace(int64_t max_rounds) {
  Restart();  // ends a parking
  Do(UncordonNode{});
  Do(SlotsSeen{});
  for (int64_t round = 0; round < max_rounds; ++round) {
    bool done = true;
    for (int64_t id = 1; id < state_.next_job_id; ++id) {
      const Job& job = *state_.Find(JobId{id});
      if (job.state == JobState::kPaused) Do(Resume{job.id, "user:ann"});
      Work(job);
      done &= IsTerminal(job.state) && state_.FindSession(job) == nullptr;
    }
    if (done) return true;
    CarryOutSome(1);
    now_.wall += absl::Seconds(1);
    now_.monotonic += absl::Seconds(1);
  }
  return false;
}

int64_t RandomWorld::num_ended(JobState wanted) const {
  int64_t count = 0;
  for (const auto& [id, job] : state_.jobs) count += job.state == wanted ? 1 : 0;
  return count;
}

}  // namespace anamnesis::core
