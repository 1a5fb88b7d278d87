// SPDX-License-Identifier: Apache-2.0
// Decide: what is to be done now. Pure: the same state, time and options give the same decisions in
// the same order, each with its reason. The loop carries them out and reports with events. A
// decision stands in every answer until an event ends its cause; carrying it out twice is harmless.
//
// Who is placed: jobs that are queued, and recovering ones whose retry time has come, by priority
// (higher first), then in order of submission. A gang gets all its slots or none, the lowest free
// ones. The first gang that does not fit holds back all behind it: run lengths are unknown, so a
// smaller job that slips past could make it wait without end. Rejected: backfill by guessed run
// lengths. Not held back, and not holding back: a job with more ranks than there are slots (after a
// start with fewer --slots), one whose retry time has not come, one whose former worker is still
// there (two workers of one job never run side by side). A recovering job whose worker is attached
// keeps it and its slots, also through its backoff.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "services/core/event.h"
#include "services/core/state.h"

namespace anamnesis::core {

// Give the job an epoch (event Assign) and start a worker, or with keep_worker grant it to the one
// that is there.
struct Place {
  JobId job{};
  std::vector<int64_t> slots;
  bool keep_worker = false;
};
// Tell the attempt's worker, which is attached, to save and stop within the grace.
struct Stop {
  JobId job{};
  int64_t epoch = 0;
  absl::Duration grace;
};
// Tell an idle worker (its attempt is over and gets no successor) to end. It has kill_patience.
struct Dismiss {
  JobId job{};
  int64_t epoch = 0;
};
// Ask the process to end (SIGTERM), or end it (SIGKILL). Without a process (pid 0) there is nothing
// to end: report WorkerGone.
struct Kill {
  JobId job{};
  int64_t epoch = 0;
  bool at_once = false;
};
// Apply event LeaseExpired.
struct Expire {
  JobId job{};
  int64_t epoch = 0;
};

struct Decision {
  std::variant<Place, Stop, Dismiss, Kill, Expire> what;
  std::string reason;
};

std::vector<Decision> Decide(const State& state, const Now& now, const Options& options);

// How long until time alone can change what Decide says (but for a grace, which always shrinks);
// infinite when it cannot.
absl::Duration NextWake(const State& state, const Now& now, const Options& options);

// Why the job is where it is, and what it waits for, in a sentence.
std::string Explain(const State& state, JobId job, const Now& now, const Options& options);

}  // namespace anamnesis::core
