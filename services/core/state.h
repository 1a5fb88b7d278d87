// SPDX-License-Identifier: Apache-2.0
// All that the coordinator knows. Jobs are durable (services/store); the rest is made anew at every
// start. Changed by Apply alone. Thread-compatible.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/core/job.h"

namespace anamnesis::core {

struct Now {
  absl::Time wall;           // for stamps
  absl::Duration monotonic;  // for leases
};

struct Options {
  int64_t num_slots = 1;
  int64_t ranks_per_node = 0;  // 0: all ranks of a gang are on one node
  absl::Duration heartbeat_interval = absl::Seconds(2);
  absl::Duration lease = absl::Seconds(6);
  absl::Duration launch_patience = absl::Seconds(60);   // between launch and the first attach
  absl::Duration retry_base = absl::Milliseconds(250);  // doubles with each failure in a row
  absl::Duration retry_limit = absl::Minutes(5);
  int64_t equal_failures = 3;
  absl::Duration kill_patience = absl::Seconds(10);  // a lost worker is told to end, then killed
};

// What is known of one worker in this life of the coordinator. Times are monotonic.
struct Line {
  bool attached = false;
  // Assigned in this life and not attached yet: launch_patience takes the place of the lease.
  bool launching = false;
  // Or assigned, waited for in the engine, restored.
  absl::Duration last_heard = absl::ZeroDuration();
};

// An attempt's workers: the one that leads, and those of its other nodes.
struct Session : Line {
  std::vector<Line> others = {};  // of node 1, 2, …
  // Once the attempt is over: since when the worker has nothing to do.
  absl::Duration idle_since = absl::ZeroDuration();
};

// When the lease of the first of the workers is over: from that moment on, not after it.
absl::Duration LeaseEnd(const Session& session, const Options& options);
// The node whose lease that is.
int64_t FirstToExpire(const Session& session, const Options& options);
// The worker of a node; nullptr: there is no such node.
Line* FindLine(Session* session, int64_t node);
bool AreAllAttached(const Session& session);
// Workers of a gang of so many ranks.
int64_t NodesOf(int64_t ranks, const Options& options);

// Between Park, or the begin of a drain, and the kill of what has not stopped by then.
inline constexpr absl::Duration kParkGrace = absl::Minutes(10);

// Set by an operator, until it is taken away: nothing new is placed.
struct Cordon {
  bool drains = false;  // and what runs saves, stops and waits
  std::string actor;
  std::string message;  // why
  absl::Time time;
  bool operator==(const Cordon&) const = default;
};

// The order in which waiting jobs are placed: higher priority first, then in order of submission.
struct QueuePlace {
  int64_t priority = 0;
  JobId id{};
  bool operator==(const QueuePlace&) const = default;
  bool operator<(const QueuePlace& other) const {
    return priority != other.priority ? priority > other.priority : id < other.id;
  }
};
QueuePlace PlaceOf(const Job& job);

struct State {
  std::map<JobId, Job> jobs;
  int64_t next_job_id = 1;
  std::map<std::string, JobId> by_request_id;
  // By job and epoch, of exactly the attempts that hold slots: those that are not over, and those
  // that are while their process may be alive.
  std::map<std::pair<JobId, int64_t>, Session> sessions;
  // Sessions and these two are all that Decide looks at: a turn costs the same however many wait.
  std::set<QueuePlace> queue;                  // jobs that are queued and wait for no other job
  std::set<JobId> recovering;                  // jobs that are recovering, due or not
  std::map<std::string, JobId> by_output_dir;  // of jobs that are not terminal
  // By the job that they wait for: jobs to start after it. A job that has ended has none here.
  std::map<JobId, std::set<JobId>> followers;
  // Since the engine does not answer: what is wrong. Nothing is placed.
  std::optional<std::string> engine_fault = {};
  bool parking = false;
  absl::Duration park_time;  // monotonic, when parking began
  // Durable, as jobs are.
  std::optional<Cordon> cordon = {};
  absl::Duration drain_time;  // monotonic, when a drain began, or the coordinator amid one
  // Slots that no job may be placed on, as their devices were last seen: why not.
  std::map<int64_t, std::string> slot_faults = {};

  const Job* Find(JobId id) const;
  Job* Find(JobId id);
  // The session of the job's last attempt if that one holds slots, else nullptr.
  const Session* FindSession(const Job& job) const;
  Session* FindSession(const Job& job);
};

// Since when (monotonic) all that runs is to save and stop; nothing while it may run.
std::optional<absl::Duration> StopTime(const State& state);
// The reason of an attempt that stopped so.
Reason StopReason(const State& state);

// Brings `queue`, `recovering`, `followers` and `by_output_dir` up to date with one job; the job
// that it is to follow is there before.
void Index(const Job& job, State* state);

// The job that this one is to follow, and that has not succeeded yet: until then it is not placed.
// Nothing for one that follows none; `found` is nullptr where the followed one is not there.
struct Followed {
  JobId id{};
  const Job* found = nullptr;
};
std::optional<Followed> WaitsFor(const State& state, const Job& job);

// May a job follow this one, named `id`? kNotFound: there is none. kFailedPrecondition: it has
// ended and not succeeded.
Status CheckFollowed(JobId id, const Job* followed);

// The state after a start from stored jobs: indices made; every attempt that holds slots has a full
// lease from now on, in which its worker may come back.
State Restore(std::vector<Job> jobs, int64_t next_job_id, std::optional<Cordon> cordon,
              const Now& now);

// Slots that no attempt holds and whose devices are free, ascending.
std::vector<int64_t> FreeSlots(const State& state, const Options& options);

}  // namespace anamnesis::core
