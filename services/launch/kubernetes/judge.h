// SPDX-License-Identifier: Apache-2.0
// What the objects of an attempt mean: from a Job, its pods and the warnings about it to one
// verdict. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/io/json.h"
#include "services/core/job.h"
#include "services/launch/kubernetes/manifest.h"

namespace anamnesis::launch {

// What a pod says of itself, without what nobody asks.
struct PodView {
  std::string name, uid, node;
  int64_t index = -1;  // of the gang's node
  std::string phase;   // Pending, Running, Succeeded, Failed
  bool deleting = false;
  bool started = false;                         // its container has run
  std::string not_scheduled;                    // why, while no node has been chosen
  std::string waiting_reason, waiting_message;  // of its container: ErrImagePull, ...
  std::string end_reason, end_message;          // of its container, or of the pod: Evicted, ...
  int64_t exit_code = 0;
  std::string disruption, disruption_message;  // PreemptionByScheduler, EvictionByEvictionAPI, ...
  bool over() const { return phase == "Succeeded" || phase == "Failed"; }
};
PodView ReadPod(const Json& object);

struct JobView {
  std::string name, uid;
  bool deleting = false;
  bool suspended = false;
  bool complete = false;
  std::string failed_reason, failed_message;  // of Failed, else of FailureTarget
  bool failed = false;                        // Failed: no pod runs any more
  int64_t nodes = 0;                          // completions
};
JobView ReadJob(const Json& object);

// A failure that a pod told before it was removed.
struct Evidence {
  core::Reason reason = core::Reason::kWorkerLost;
  std::string message;
  // How much it explains. Of a pod that was deleted nobody knows why: what deletes the Job, or what
  // ended another of its pods, says more.
  enum class Weight { kDeletion, kExit, kDisruption, kMemory } weight = Weight::kExit;
};

// One attempt, as the watches show it.
struct TrackedAttempt {
  std::optional<JobView> job;  // nothing: not seen yet, or deleted
  bool was_seen = false;       // the Job was there once
  bool stopping = false;       // we removed it
  bool ran = false;            // some pod's container has run
  std::map<std::string, PodView> pods;
  std::optional<Evidence> evidence;           // the first
  std::string create_warning;                 // why no pod could be created
  std::optional<absl::Duration> stuck_since;  // monotonic; a start that does not come right alone
};

// Takes a pod's new state, and what it tells of a failure.
void TakePod(PodView pod, TrackedAttempt* attempt);
// The pod is no more.
void RemovePod(const std::string& name, TrackedAttempt* attempt);

enum class Standing {
  kWaits,    // accepted, not all of it runs
  kStuck,    // it cannot start, and waiting alone hardly helps: kNotLaunched after a patience
  kRuns,     // every pod's container has started
  kEnds,     // over, but some of it may still run
  kEnded,    // nothing of it runs any more
  kRefused,  // it can never start
};
struct Verdict {
  Standing standing = Standing::kWaits;
  core::Reason reason = core::Reason::kWorkerLost;  // of kEnded
  std::string message;
};
Verdict Judge(const TrackedAttempt& attempt);

// A warning of the Job's controller about pods that it cannot create (reason FailedCreate).
// True: more of the same quota may come free; false: somebody must change something.
bool IsQuotaWarning(const std::string& message);

}  // namespace anamnesis::launch
