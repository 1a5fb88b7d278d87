// SPDX-License-Identifier: Apache-2.0
// A gang: the ranks of one attempt, started, watched and stopped together. One loop on the calling
// thread serves their channels (reports, rendezvous, commits) and their ends; no thread per rank,
// no death signal (a rank exits when its channel closes). When one rank breaks, the others'
// channels are closed, who is alive `close_patience` later is killed, and the culprit is named.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/process/spawn.h"
#include "workers/contract/report.h"
#include "workers/gang/mailbox.h"
#include "workers/gang/rank_link.h"
#include "workers/gang/stall.h"

namespace anamnesis::gang {

// What the ranks say, in order of arrival. Called on the loop's thread; must not block.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnStarted(int rank, const Json& message) = 0;
  virtual void OnStep(int rank, const contract::StepReport& report) = 0;
  virtual void OnEval(int rank, const contract::EvalReport& report) = 0;
  // Nothing: the answer comes through GangOptions::mailbox.
  virtual std::optional<CommitAnswer> OnCommit(int rank, const CommitRequest& request) = 0;
  // `seconds`: how long the ranks did not step for it.
  virtual void OnSaved(int rank, int64_t step, const std::string& path, double seconds) = 0;
  // The first interrupt: ranks were told to finish their step and save.
  virtual void OnStopping() = 0;
};

// Starts ranks on other nodes.
class RankStarter {
 public:
  virtual ~RankStarter() = default;
  // `options` as of a rank that is started here.
  virtual StatusOr<RankLink> Start(int rank, const SpawnOptions& options, absl::Duration now) = 0;
};

struct GangOptions {
  std::vector<SpawnOptions> ranks;  // argv without --channel-fd
  // Of each rank that is to run elsewhere, by rank; nullptr, or none at all: it is started here.
  std::vector<RankStarter*> elsewhere = {};
  // Readable when the user wants to stop; each successful read of up to 128 bytes is one interrupt
  // (a signalfd or an eventfd, non-blocking). The first asks the ranks to stop, the second kills
  // them. -1: never.
  int interrupt_fd = -1;
  Mailbox* mailbox = nullptr;  // optional
  StallRule stall;
  absl::Duration close_patience = absl::Seconds(1);  // between closing the channels and SIGKILL
  absl::Duration blame_patience =
      absl::Milliseconds(300);  // for a cause to show after a rank's mere error
  absl::Duration exit_patience = absl::Seconds(10);  // between `done` and the end of the process
  absl::Duration stop_grace = absl::Minutes(10);     // told to the ranks with `stop`
  // Ranks that lost a peer may wait for the next epoch instead of being ended; those that do so
  // within `survivor_patience` (or 1.5 median steps) come back in Outcome::survivors.
  bool keep_survivors = false;
  absl::Duration survivor_patience = absl::Seconds(2);
  // By rank: a survivor of the epoch before, which joins with the plan `argv[1]`; empty: all ranks
  // are started.
  std::vector<std::optional<RankLink>> survivors = {};
  const Clock* clock = &Clock::System();
};

struct Outcome {
  // OK: all ranks are done. kAborted: interrupted; `saved` says whether the ranks ended by
  // themselves, a checkpoint written. Otherwise the culprit's failure.
  Status status;
  int culprit = -1;
  bool saved = false;
  int64_t last_step = 0;                        // highest step that any rank reported
  std::vector<contract::DoneReport> done = {};  // by rank; empty unless all ranks sent one
  // By rank, those that wait for the next epoch; empty when nobody does. Dropping one ends it.
  std::vector<std::optional<RankLink>> survivors = {};
};

// Runs until every rank has ended or waits as a survivor; leaves no other process behind.
Outcome RunGang(GangOptions options, Observer& observer);

}  // namespace anamnesis::gang
