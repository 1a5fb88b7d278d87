// SPDX-License-Identifier: Apache-2.0
#include "services/core/state.h"

#include <algorithm>
#include <utility>

namespace anamnesis::core {

namespace {

absl::Duration EndOf(const Line& line, const Options& options) {
  return line.last_heard + (line.launching ? options.launch_patience : options.lease);
}

const Line& LineOf(const Session& session, int64_t node) {
  return node == 0 ? session : session.others[static_cast<size_t>(node) - 1];
}

}  // namespace

absl::Duration LeaseEnd(const Session& session, const Options& options) {
  return EndOf(LineOf(session, FirstToExpire(session, options)), options);
}

int64_t FirstToExpire(const Session& session, const Options& options) {
  int64_t first = 0;
  for (int64_t node = 1; node <= static_cast<int64_t>(session.others.size()); ++node) {
    if (EndOf(LineOf(session, node), options) < EndOf(LineOf(session, first), options)) {
      first = node;
    }
  }
  return first;
}

Line* FindLine(Session* session, int64_t node) {
  if (node < 0 || node > static_cast<int64_t>(session->others.size())) return nullptr;
  return &const_cast<Line&>(LineOf(*session, node));
}

bool AreAllAttached(const Session& session) {
  return session.attached && std::all_of(session.others.begin(), session.others.end(),
                                         [](const Line& line) { return line.attached; });
}

int64_t NodesOf(int64_t ranks, const Options& options) {
  if (options.ranks_per_node <= 0) return 1;
  return (ranks + options.ranks_per_node - 1) / options.ranks_per_node;
}

const Job* State::Find(JobId id) const {
  const auto found = jobs.find(id);
  return found == jobs.end() ? nullptr : &found->second;
}

Job* State::Find(JobId id) {
  const auto found = jobs.find(id);
  return found == jobs.end() ? nullptr : &found->second;
}

const Session* State::FindSession(const Job& job) const {
  if (job.attempts.empty()) return nullptr;
  const auto found = sessions.find({job.id, job.attempts.back().epoch});
  return found == sessions.end() ? nullptr : &found->second;
}

Session* State::FindSession(const Job& job) {
  return const_cast<Session*>(std::as_const(*this).FindSession(job));
}

std::optional<absl::Duration> StopTime(const State& state) {
  const bool drains = state.cordon && state.cordon->drains;
  if (state.parking && drains) return std::min(state.park_time, state.drain_time);
  if (state.parking) return state.park_time;
  if (drains) return state.drain_time;
  return std::nullopt;
}

Reason StopReason(const State& state) { return state.parking ? Reason::kParked : Reason::kDrained; }

QueuePlace PlaceOf(const Job& job) { return {job.spec.priority, job.id}; }

std::optional<Followed> WaitsFor(const State& state, const Job& job) {
  if (!job.spec.after || !job.attempts.empty()) return std::nullopt;  // or has started long since
  const Job* found = state.Find(*job.spec.after);
  if (found != nullptr && found->state == JobState::kSucceeded) return std::nullopt;
  return Followed{*job.spec.after, found};
}

Status CheckFollowed(JobId id, const Job* followed) {
  if (followed == nullptr) return NotFound("after: there is no ", NameOf(id));
  if (!IsTerminal(followed->state) || followed->state == JobState::kSucceeded) {
    return absl::OkStatus();
  }
  return FailedPrecondition("after: ", NameOf(id), " is ", NameOf(followed->state),
                            " already: a job starts after one that succeeds");
}

void Index(const Job& job, State* state) {
  const std::optional<Followed> followed = WaitsFor(*state, job);
  if (followed && !IsTerminal(job.state)) {
    state->followers[followed->id].insert(job.id);
  } else if (job.spec.after) {
    const auto siblings = state->followers.find(*job.spec.after);
    if (siblings != state->followers.end()) {
      siblings->second.erase(job.id);
      if (siblings->second.empty()) state->followers.erase(siblings);
    }
  }
  if (job.state == JobState::kQueued && !followed) {
    state->queue.insert(PlaceOf(job));
  } else {
    state->queue.erase(PlaceOf(job));
  }
  if (job.state == JobState::kRecovering) {
    state->recovering.insert(job.id);
  } else {
    state->recovering.erase(job.id);
  }
  const std::string& folder = job.resolved.output_dir;
  if (folder.empty()) return;
  if (!IsTerminal(job.state)) {
    state->by_output_dir[folder] = job.id;
  } else if (const auto owner = state->by_output_dir.find(folder);
             owner != state->by_output_dir.end() && owner->second == job.id) {
    state->by_output_dir.erase(owner);
  }
}

State Restore(std::vector<Job> jobs, int64_t next_job_id, std::optional<Cordon> cordon,
              const Now& now) {
  State state;
  state.next_job_id = next_job_id;
  state.cordon = std::move(cordon);
  state.drain_time = now.monotonic;
  for (Job& job : jobs) {
    const JobId id = job.id;
    if (!job.request_id.empty()) state.by_request_id[job.request_id] = id;
    if (!job.attempts.empty() && job.attempts.back().holds_slots) {
      Session session;
      session.last_heard = session.idle_since = now.monotonic;
      session.others.assign(static_cast<size_t>(job.attempts.back().nodes - 1),
                            {.last_heard = now.monotonic});
      state.sessions[{id, job.attempts.back().epoch}] = std::move(session);
    }
    state.next_job_id = std::max(state.next_job_id, static_cast<int64_t>(id) + 1);
    state.jobs.emplace(id, std::move(job));
  }
  for (const auto& [id, job] : state.jobs) Index(job, &state);
  return state;
}

std::vector<int64_t> FreeSlots(const State& state, const Options& options) {
  std::vector<bool> held(static_cast<size_t>(options.num_slots), false);
  for (const auto& [key, session] : state.sessions) {
    for (const int64_t slot : state.Find(key.first)->attempts.back().slots) {
      // A start with fewer --slots leaves attempts on slots that are no more.
      if (slot < options.num_slots) held[static_cast<size_t>(slot)] = true;
    }
  }
  std::vector<int64_t> free;
  for (int64_t slot = 0; slot < options.num_slots; ++slot) {
    if (!held[static_cast<size_t>(slot)] && !state.slot_faults.contains(slot)) free.push_back(slot);
  }
  return free;
}

}  // namespace anamnesis::core
