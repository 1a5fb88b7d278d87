// SPDX-License-Identifier: Apache-2.0
// Loop: the only writer. It takes what others post, applies it, decides, makes all of it durable in
// one transaction, and only then answers and acts. Events that come while the disk is busy wait for
// the next transaction: group commit without a waiting window.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "common/base/clock.h"
#include "common/io/file.h"
#include "services/coordinator/board.h"
#include "services/coordinator/log.h"
#include "services/coordinator/session_hub.h"
#include "services/coordinator/telemetry.h"
#include "services/core/apply.h"
#include "services/core/decide.h"
#include "services/launch/launcher.h"
#include "services/store/store.h"

namespace anamnesis::coordinator {

struct LoopOptions {
  core::Options core;
  int64_t threads_per_slot = 1;
  std::string data_directory;
  std::string rank_interface;               // for what ranks of several nodes say to each other
  bool upload_checkpoints = false;          // nodes have output folders of their own
  bool allow_hub = true;                    // jobs may fetch models
  std::string checkpoint_store;             // s3://BUCKET/PREFIX; "" for none
  std::string device = "cpu";               // or cuda
  std::vector<std::string> slot_gpus = {};  // UUIDs; none where an engine gives them
  bool pin_cpus = false;                    // each rank stays on CPUs of its own
  std::vector<std::vector<int>> slot_cpus = {};  // of this machine, with pin_cpus
};

// What a worker needs to know of an epoch.
v1::Grant MakeGrant(const core::Job& job, const LoopOptions& options);

class Loop {
 public:
  struct Parts {  // all outlive the loop
    store::Store& store;
    launch::Launcher& launcher;
    Board& board;
    SessionHub& sessions;
    Telemetry& telemetry;
    Log& log;
    const Clock& clock;
  };
  struct Applied {
    JobSnapshot job;       // after the event; nullptr for an event without a job
    bool created = false;  // of core::Outcome
  };
  // Called on the loop's thread once the event is durable, or refused.
  using Reply = std::function<void(const StatusOr<Applied>&)>;

  // Loads the store, adopts the workers that still run.
  static StatusOr<std::unique_ptr<Loop>> Create(LoopOptions options, Parts parts);

  // nullptr: the loop has ended, on the asking thread.
  using Question = std::function<void(const core::State*)>;

  // Any thread. Once the loop has ended, the reply is kUnavailable on the posting thread: every
  // reply is called.
  void Post(core::Event event, Reply reply = nullptr);
  // Runs on the loop's thread beside the events: to read the state. Any thread may ask.
  void Ask(Question question);
  // Ends Run: at once (workers go on), or with `park` once no worker is left.
  void Shutdown(bool park);
  // Where workers find the worker plane; before Run.
  void SetWorkerAddress(std::string address) { worker_address_ = std::move(address); }
  // Kills the workers that are left while parking.
  void KillWorkers();

  void Run();
  // Refuses what waits and what comes; Run does it at its end. Not beside Run. What is posted would
  // wait for ever otherwise, and with it a server that is to end.
  void Close();

  const LoopOptions& options() const { return options_; }

 private:
  struct Command {
    core::Event event;
    Reply reply;
  };
  struct Pending {  // of one transaction
    std::set<core::JobId> changed;
    store::Batch batch;
    std::vector<std::function<void()>> after;  // once durable
    std::vector<std::pair<Reply, Status>> refused;
    std::vector<std::pair<Reply, std::pair<core::JobId, bool>>> accepted;
    std::map<core::JobId, int64_t> acknowledged;
    std::set<WorkerName> attached;
    std::vector<core::Event> facts;  // that nobody tells a second time
  };

  Loop(LoopOptions options, Parts parts, FileDescriptor event);
  Status Restore();
  core::Now Now() const { return {parts_.clock.Now(), parts_.clock.Monotonic()}; }
  void Ring() const;
  void Wait();
  // Workers whose heartbeats waited so long may have given their streams up, and come back.
  void NoticeDelay(absl::Duration delay);
  void Turn();
  void Take(const Command& command, const core::Now& now, Pending* pending);
  StatusOr<core::Outcome> Apply(const core::Event& event, const core::Now& now, Pending* pending);
  void DecideAll(const core::Now& now, Pending* pending);
  bool Carry(const core::Decision& decision, const core::Now& now, Pending* pending);
  bool Place(const core::Place& place, const core::Now& now, Pending* pending);
  void Launch(core::JobId job);
  void TellStop(core::JobId job, int64_t epoch, absl::Duration grace, bool leave);
  void Kill(const core::Kill& kill);
  void Finish(Pending* pending);
  void Undo(const Status& status, Pending* pending);
  bool ShouldEnd() const;

  const LoopOptions options_;
  const Parts parts_;
  const FileDescriptor event_;
  std::string worker_address_;
  core::State state_;
  // Workers could not be heard for a while (NoticeDelay), or since Restore.
  bool was_held_up_ = true;

  std::mutex mutex_;
  std::vector<Command> commands_;
  std::vector<Question> questions_;
  bool closed_ = false;
  std::atomic<bool> ending_ = false, parking_ = false, killing_ = false;

  // What a worker was told already, so that it is not told again at every turn.
  struct Told {
    int64_t epoch = 0;
    bool leave = false;
    absl::Duration deadline;  // monotonic
    bool SaysMoreThan(const Told& other) const;
  };
  std::map<core::JobId, Told> told_stop_;
  std::map<core::JobId, bool> told_kill_;  // at once
  std::vector<core::Event> undone_;        // facts of turns that could not be stored
};

}  // namespace anamnesis::coordinator
