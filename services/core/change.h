// SPDX-License-Identifier: Apache-2.0
// One Apply in progress, and the few ways in which handlers change a job: every state change goes
// through Go, every end of an attempt through EndAttempt. Handlers check everything first, then
// change. Loop thread only.
#pragma once

#include <string>

#include "services/core/apply.h"

namespace anamnesis::core {

struct Change {
  State& state;
  const Now& now;
  const Options& options;
  Outcome outcome;
};

// Actors of transitions that no user asked for.
inline constexpr char kByWorker[] = "worker";
inline constexpr char kByCoordinator[] = "coordinator";

// Notes the job as the one concerned. kNotFound.
StatusOr<Job*> FindJob(Change* change, JobId id);

// The job's last attempt if `epoch` is its or that of an earlier attempt of the same worker, and
// else StaleEpoch.
StatusOr<Attempt*> FindWorker(Job* job, int64_t epoch);

// The job's last attempt if it has exactly this epoch and is not over, else StaleEpoch.
StatusOr<Attempt*> FindActive(Job* job, int64_t epoch);

// The job gets the state, with stamps and a Transition. ANAM_CHECKs MayGo.
void Go(Change* change, Job* job, JobState to, Reason reason, const std::string& actor,
        const std::string& message = "");

// The active attempt is over; its worker, if alive, is idle from now on.
void EndAttempt(Change* change, Job* job, AttemptState state, Reason reason,
                const std::string& message);

// The process of the last attempt is gone.
void ReleaseSlots(Change* change, Job* job);

// Where a job goes whose attempt ended badly: as it was told (cancelled, paused), or by the failure
// rule (failure_rule.h). The attempt is over already.
void GoAfterFailure(Change* change, Job* job, Failure failure, const std::string& actor);

// The job has ended: those that wait for it are queued for slots, or cancelled, and so on down the
// chain.
void TellFollowers(Change* change, JobId ended);

// Where a job goes whose attempt stopped without a failure: as it was told, or to the queue.
void GoAfterStop(Change* change, Job* job, Reason unasked, const std::string& actor,
                 const std::string& message);

}  // namespace anamnesis::core
