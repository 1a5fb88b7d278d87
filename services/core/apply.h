// SPDX-License-Identifier: Apache-2.0
// Apply: the one function that changes the state. Deterministic: the same state, event and time
// give the same result. What it refuses changes nothing. Loop thread only.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "services/core/event.h"
#include "services/core/state.h"

namespace anamnesis::core {

// What an event left behind, for the store and for watchers.
struct Outcome {
  std::optional<JobId> job;  // that the event was about; nothing for Park
  bool changed = false;      // the job is to be stored again
  bool created = false;      // false for a Submit that was seen before
  std::vector<Transition> transitions;
  // Of other jobs, which are to be stored again as well: those that were to follow the job.
  std::vector<std::pair<JobId, Transition>> consequences;
  std::optional<Checkpoint> checkpoint;  // newly committed
  bool cordon_changed = false;           // the cordon is to be stored again
  // A report that was new: its metric row is stored too.
  bool new_report = false;
};

// A job that ends takes along those that wait for it: the same Apply releases or cancels them, and
// those that wait for these.
//
// kNotFound: no such job. kInvalidArgument: a value that no worker and no user may send.
// kFailedPrecondition: not in this state, more ranks than slots, a gap in the reports' numbers, a
// commit that goes back. kAlreadyExists: another spec under this request id, or the output folder
// belongs to a live job. kAborted with IsStaleEpoch: the epoch is not the job's last one, or it is
// over. kPermissionDenied: wrong token. kUnavailable: a commit after the lease ran out, which may
// be asked again once the worker is heard of.
//
// Epochs of one worker (kept workers, one token): Attached, Heard, Detached and WorkerGone may name
// any of them and mean its last one, so a worker that missed its grant can come back. A report or a
// commit names the current one exactly; a report already acknowledged is OK under any of them. An
// attempt that is over keeps its session (Heard, Attached) while its worker lives, unless it is
// lost: a lost worker is refused for good.
StatusOr<Outcome> Apply(State* state, const Event& event, const Now& now, const Options& options);

Status StaleEpoch(int64_t epoch, int64_t current);
bool IsStaleEpoch(const Status& status);

// May a job go from one state to the other? The table that docs/life-of-a-job.md draws; Apply goes
// through it, and its violation is a defect (ANAM_CHECK). Preempting, resizing and expired have no
// way in yet.
bool MayGo(JobState from, JobState to);

}  // namespace anamnesis::core
