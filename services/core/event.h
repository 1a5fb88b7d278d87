// SPDX-License-Identifier: Apache-2.0
// Everything that can happen to the control plane: the only way its state changes (apply.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "services/core/job.h"

namespace anamnesis::core {

// --- by users
struct Submit {
  JobSpec spec;
  Resolved resolved;
  std::string request_id;  // "" for none
  std::string actor;
};
struct Cancel {
  JobId job{};
  absl::Duration grace = absl::Minutes(10);
  std::string actor;
};
struct Pause {
  JobId job{};
  std::string actor;
};
struct Resume {
  JobId job{};
  std::string actor;
};

// --- by the coordinator
// A new epoch of the job. With `keep_worker` the attempt before ended with its worker alive, which
// takes the new one: token, process and slots go over.
struct Assign {
  JobId job{};
  std::vector<int64_t> slots;
  std::string token;
  bool keep_worker = false;
};
struct Launched {
  JobId job{};
  int64_t epoch = 0;
  WorkerProcess worker;
};
// Nothing runs. kEngineUnreachable undoes the attempt: the job is queued again, and nothing is
// placed before EngineSeen. kInvalidInput: would be refused again.
struct LaunchFailed {
  JobId job{};
  int64_t epoch = 0;
  std::string message;
  Reason reason = Reason::kLaunchFailed;
};
// The engine has taken the attempt and not started all of it yet: its workers need not have come.
struct EngineWaits {
  JobId job{};
  int64_t epoch = 0;
  std::string message;  // what for, in the engine's words
};
// Whether the launcher's engine answers.
struct EngineSeen {
  bool reachable = true;
  std::string message;  // what is wrong
};
// All processes of the attempt are gone; its slots are free.
struct WorkerGone {
  JobId job{};
  int64_t epoch = 0;
  // Or kReboot, kNodeLost, kPreempted, kTimeLimit, kOutOfMemory, kEngineCancelled.
  Reason reason = Reason::kWorkerLost;
  std::string message;
};
struct LeaseExpired {
  JobId job{};
  int64_t epoch = 0;
};
// The coordinator hears its workers again, after its start or after something held it up (a disk
// that takes seconds): they have full leases from now on.
struct ListensAgain {};
// The coordinator shuts down: active jobs save, stop and become queued. Undone by a new start.
struct Park {};

// An operator's word; `drains` may be added to a cordon, and uncordon takes both away.
struct CordonNode {
  bool drains = false;
  std::string actor;
  std::string message;
};
struct UncordonNode {
  std::string actor;
};
// What was seen on the devices of the slots; a slot that is not named has none to look at.
struct SlotProcess {
  int64_t pid = 0;
  int64_t session = 0;  // session id: a worker's pid for its ranks; 0: not seen
  std::string name = {};
  int64_t memory_bytes = 0;
};
struct SlotSight {
  int64_t slot = 0;
  std::string device;  // "GPU 0 (NVIDIA H200)"
  int64_t memory_bytes = 0, free_bytes = 0;
  std::vector<SlotProcess> processes = {};
  std::string fault = {};  // it cannot be looked at
};
struct SlotsSeen {
  std::vector<SlotSight> slots;
};

// --- by workers; each names its epoch, a stale one is refused (kAborted, IsStaleEpoch)
struct Attached {
  JobId job{};
  int64_t epoch = 0;
  std::string token;
  bool reattach = false;
  std::string host;
  int64_t pid = 0;
  int64_t node = 0;  // of the attempt's workers
};
struct Heard {  // any message: renews the lease
  JobId job{};
  int64_t epoch = 0;
  int64_t node = 0;
};
struct Detached {  // the session broke; the lease runs on
  JobId job{};
  int64_t epoch = 0;
  int64_t node = 0;
};
struct PhaseReported {
  AttemptState state = AttemptState::kPreparing;  // or kRendezvous
  std::string phase;
  int64_t done = 0, total = 0;
  std::optional<double> eta_seconds = {};
};
struct StartedReported {
  int64_t total_steps = 0, resumed_step = 0;
  int64_t steps_executed_before = 0;  // as the run's own folder counted them
  std::vector<int64_t> kept_ranks;
  std::vector<std::string> notes;
  DataFacts data = {};
};
struct StepReported {
  int64_t step = 0;
  double epoch = 0, loss = 0, grad_norm = 0, learning_rate = 0;
  int64_t tokens = 0;
  double seconds = 0;
};
struct EvalReported {
  int64_t step = 0;
  double epoch = 0, loss = 0;
  std::map<std::string, double> metrics = {};  // of a classifier, by name
  double seconds = 0;
};
struct SavedReported {
  int64_t step = 0;
  std::string path;
  double seconds = 0;
};
struct FailedReported {
  Reason reason = Reason::kRankFailed;
  std::string message;
  int64_t last_step = 0;
};
struct StoppedReported {  // as told, or by a SIGTERM to the worker
  int64_t last_step = 0;
  bool saved = false;
};
struct DoneReported {
  int64_t step = 0;
  std::string final_sha256, path;
  std::string wandb_folder = {};
  std::map<std::string, double> evaluation = {};  // of a classifier, by name
};
struct Reported {
  JobId job{};
  int64_t epoch = 0;
  int64_t sequence = 0;  // a number already seen changes nothing
  absl::Time time;
  std::variant<PhaseReported, StartedReported, StepReported, EvalReported, SavedReported,
               FailedReported, StoppedReported, DoneReported>
      what;
};
// May the staged checkpoint become visible?
struct Commit {
  JobId job{};
  int64_t epoch = 0;
  Checkpoint checkpoint;
  // Its folder in the output folder. final_model ends the run and is fenced like a checkpoint, but
  // is none: nothing continues from it.
  std::string name = "checkpoint";
};

using Event =
    std::variant<Submit, Cancel, Pause, Resume, Assign, Launched, LaunchFailed, EngineWaits,
                 EngineSeen, WorkerGone, LeaseExpired, ListensAgain, Park, CordonNode, UncordonNode,
                 SlotsSeen, Attached, Heard, Detached, Reported, Commit>;

}  // namespace anamnesis::core
