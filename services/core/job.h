// SPDX-License-Identifier: Apache-2.0
// The nouns of the control plane as plain values: a job (wish, fact, history), its attempts, its
// checkpoints. docs/life-of-a-job.md has the picture of the states. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "services/core/shared_text.h"

namespace anamnesis::core {

// Numbered in order of submission, never used again; "jobs/17" outside.
enum class JobId : int64_t {};
std::string NameOf(JobId id);  // "jobs/17"

enum class JobState {
  kQueued,
  kPreparing,
  kStarting,
  kRunning,
  kPausing,
  kPaused,
  kRecovering,
  kCancelling,
  kPreempting,
  kResizing,
  kSucceeded,
  kFailed,
  kCancelled,
  kExpired,
  kRejected,
};
bool IsTerminal(JobState state);

enum class AttemptState {
  kAssigned,
  kPreparing,
  kRendezvous,
  kRunning,
  kDraining,
  kSucceeded,
  kFailed,
  kStopped,
  kLost,
};
bool IsOver(AttemptState state);

enum class Reason {
  kSubmitted,
  kPlaced,
  kWorkerAttached,
  kDataReady,
  kFirstStep,
  kDone,
  kUserCancelled,
  kUserPaused,
  kUserResumed,
  kParked,
  kRankFailed,
  kWorkerLost,
  kLeaseExpired,
  kLaunchFailed,
  kReboot,
  kInvalidInput,
  kOutOfMemory,
  kDiskFull,
  kEqualFailures,
  kInternal,
  kStopped,
  kAfterNotSucceeded,
  kEngineUnreachable,
  kNodeLost,
  kPreempted,
  kTimeLimit,
  kEngineCancelled,
  kDrained,
};

// "queued", "user_cancelled", ...: for people, the store and metric labels.
const char* NameOf(JobState state);
const char* NameOf(AttemptState state);
const char* NameOf(Reason reason);
// kDataLoss for a name that is none.
StatusOr<JobState> JobStateFromName(const std::string& name);
StatusOr<AttemptState> AttemptStateFromName(const std::string& name);
StatusOr<Reason> ReasonFromName(const std::string& name);

struct JobSpec {
  std::string task;
  SharedText config_yaml;  // verbatim
  std::vector<std::string> overrides;
  std::string working_directory;
  std::string config_name;
  std::string display_name;
  std::string project;
  int64_t priority = 0;
  // Starts when that job has succeeded; is cancelled when it ends in another way.
  std::optional<JobId> after = {};
  bool operator==(const JobSpec&) const = default;
};

// What the coordinator worked out of the spec when it accepted it.
struct Resolved {
  SharedText spec_json;    // every key with its value
  std::string output_dir;  // absolute, lexically normal
  int64_t ranks = 1;
  std::vector<std::string> notes;
};

// What runs an attempt, as the launcher knows it: a process of this machine, or an object of an
// engine, which `handle` names ("slurm:4711").
struct WorkerProcess {
  std::string host;
  std::string boot_id;
  int64_t pid = 0;          // 0: not launched yet
  int64_t start_ticks = 0;  // of /proc/PID/stat: with the pid, names the process
  std::string handle = {};  // "": a process
  bool operator==(const WorkerProcess&) const = default;
};

// Why an attempt ended, for the rule of equal failures and for people.
struct Failure {
  Reason reason = Reason::kRankFailed;
  std::string message;
  int64_t last_step = 0;
};

struct Attempt {
  int64_t epoch = 0;
  AttemptState state = AttemptState::kAssigned;
  Reason reason = Reason::kPlaced;
  std::string message;
  std::vector<int64_t> slots;  // ascending
  int64_t nodes = 1;           // workers; the first one leads
  std::string token;           // secret of this worker; the same for all epochs of one worker
  WorkerProcess worker;
  absl::Time start_time;
  std::optional<absl::Time> end_time;
  int64_t first_step = 0, last_step = 0;  // executed; 0: none
  int64_t resumed_step = 0;
  std::vector<int64_t> kept_ranks;
  int64_t reattached = 0;
  // The slots are held until the process is known to be gone: they are never given out twice.
  bool holds_slots = true;
};

struct Checkpoint {
  int64_t step = 0;
  int64_t epoch = 0;
  std::string path;
  std::string sha256;
  absl::Time commit_time;
};

struct Transition {
  absl::Time time;
  JobState from = JobState::kQueued;
  JobState to = JobState::kQueued;
  Reason reason = Reason::kSubmitted;
  std::string actor;
  int64_t epoch = 0;
  std::string message;
};

struct Progress {
  std::string phase;
  int64_t done = 0, total = 0;             // within the phase; total 0: unknown
  std::optional<double> eta_seconds = {};  // of a phase before the first step
  int64_t step = 0, total_steps = 0;
  double epoch = 0;
  int64_t tokens = 0;
  // Exponentially weighted means of this attempt's steps: each step weighs 0.2, the ones before it
  // 0.8. The first step sets them.
  double tokens_per_second = 0;
  double step_seconds = 0;
  std::optional<double> loss, learning_rate, grad_norm, tuning_loss;
  double train_seconds = 0, evaluation_seconds = 0;  // of all attempts
};

// What the preparation found in the data, for advice; shares are between 0 and 1.
struct DataFacts {
  // Of the events that a lookup is for, those that it has a term for.
  std::optional<double> medical_coverage, lab_coverage;
  std::optional<double> truncated_token_share;  // of the tokens of train
  int64_t train_documents = 0;                  // 0: not known
  std::vector<double> class_shares;             // of the labels of train, by class
};

struct Job {
  JobId id{};
  JobSpec spec;
  Resolved resolved;
  std::string request_id;
  JobState state = JobState::kQueued;
  Reason reason = Reason::kSubmitted;
  std::string message;
  absl::Time create_time, update_time;
  std::optional<absl::Time> start_time, end_time;
  std::vector<Attempt> attempts;  // by epoch, from 1
  std::optional<Checkpoint> latest_checkpoint;
  Progress progress;
  int64_t steps_executed = 0;
  int64_t acknowledged_sequence = 0;  // of the reports of the last worker
  std::string final_sha256, final_path;
  std::string wandb_folder;                  // of a job that has succeeded; "" for none
  std::map<std::string, double> evaluation;  // of a classifier that has succeeded
  DataFacts data;                            // once its ranks have met
  // One after the other, none got further (the last 64). Cleared by progress: a step beyond all of
  // them and beyond the last commit; and by a user's resume, who is believed to have acted.
  std::vector<Failure> failures;
  std::optional<absl::Time> retry_time;           // of the next attempt, while recovering
  absl::Duration stop_grace = absl::Minutes(10);  // while pausing or cancelling
  std::optional<absl::Time> stop_deadline;        // then the attempt is killed

  // The one that is not over, or nullptr. Only the last attempt can be that, and only the last one
  // can hold slots.
  const Attempt* active() const;
  Attempt* active();
  Attempt* FindAttempt(int64_t epoch);
};

}  // namespace anamnesis::core
