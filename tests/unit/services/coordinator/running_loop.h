// SPDX-License-Identifier: Apache-2.0
// A loop on a temporary folder, a clock that stands, and workers that are shell scripts.
#pragma once

#include <sys/stat.h>

#include <cstdio>
#include <future>
#include <thread>

#include "services/coordinator/loop.h"
#include "services/launch/local.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"

namespace anamnesis::coordinator {

inline constexpr core::JobId kFirst{1};  // of a new store
inline constexpr char kStays[] = "exec sleep 1000\n";

// What outlives one life of the coordinator.
struct Ground {
  explicit Ground(const std::string& script = kStays)
      : worker_program(folder.Write("worker", "#!/bin/sh\n" + script)) {
    ::chmod(worker_program.c_str(), 0700);
  }
  TemporaryFolder folder;
  FakeClock clock;
  std::string worker_program;
};

// One life. Workers that still run at the end are left, as by a coordinator.
class RunningLoop {
 public:
  explicit RunningLoop(Ground& ground, int64_t num_slots = 1)
      : clock_(ground.clock),
        store_(*store::Store::Open(ground.folder.File("state.db"))),
        log_file_(std::fopen("/dev/null", "w")),
        log_(log_file_),
        telemetry_(board_, num_slots, "test"),
        launcher_(*launch::LocalLauncher::Create(
            {.worker_program = ground.worker_program, .data_directory = ground.folder.path()})),
        loop_(*Loop::Create(
            {.core = {.num_slots = num_slots}, .data_directory = ground.folder.path()},
            {*store_, *launcher_, board_, sessions_, telemetry_, log_, clock_})) {}
  ~RunningLoop() {
    End();
    std::fclose(log_file_);
  }

  void Start() {
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void End() {
    if (!thread_.joinable()) return;
    loop_->Shutdown(/*park=*/false);
    thread_.join();
  }
  void Join() { thread_.join(); }

  // What the event came to. `then` runs on the loop's thread with the reply.
  StatusOr<Loop::Applied> Do(core::Event event,
                             std::function<void(const StatusOr<Loop::Applied>&)> then = nullptr) {
    std::promise<StatusOr<Loop::Applied>> done;
    loop_->Post(std::move(event), [&](const StatusOr<Loop::Applied>& applied) {
      if (then) then(applied);
      done.set_value(applied);
    });
    return done.get_future().get();
  }

  StatusOr<Loop::Applied> Submit(const std::string& request_id = "") {
    return Do(MakeSubmit(request_id));
  }
  static core::Submit MakeSubmit(const std::string& request_id = "") {
    return {.spec = {.task = "pretrain_llm", .working_directory = "/"},
            .resolved = {.spec_json = "{}", .output_dir = "/out/" + request_id},
            .request_id = request_id,
            .actor = "user:test"};
  }

  // Runs on the loop's thread.
  void Look(const std::function<void(const core::State*)>& look) {
    std::promise<void> done;
    loop_->Ask([&](const core::State* state) {
      look(state);
      done.set_value();
    });
    done.get_future().get();
  }

  // Time goes by for a loop that nothing holds up: in steps that are shorter than a heartbeat.
  void Pass(FakeClock& clock, int64_t seconds) {
    for (int64_t i = 0; i < seconds; ++i) {
      clock.Advance(absl::Seconds(1));
      Look([](const core::State*) {});
    }
  }

  // The job once it is as wanted; the loop is rung again and again, as its clock stands.
  template <typename Wanted>
  JobSnapshot WaitFor(core::JobId id, Wanted wanted) {
    uint64_t version = 0;
    for (int i = 0; i < 2000; ++i) {
      const JobSnapshot job = board_.Find(id);
      if (job != nullptr && wanted(*job)) return job;
      Look([](const core::State*) {});
      version = board_.Since(version, std::chrono::milliseconds(10)).version;
    }
    return nullptr;
  }
  JobSnapshot WaitForState(core::JobId id, core::JobState state) {
    return WaitFor(id, [&](const core::Job& job) { return job.state == state; });
  }
  // With a worker that is recorded.
  JobSnapshot WaitForWorker(core::JobId id) {
    return WaitFor(id, [](const core::Job& job) {
      return !job.attempts.empty() && job.attempts.back().worker.pid != 0;
    });
  }
  // Ends the workers, and the loop with them.
  void KillWorkers() {
    loop_->Shutdown(/*park=*/true);
    Look([](const core::State*) {});  // it parks: their ends are no failures
    loop_->KillWorkers();
    thread_.join();
  }

  Loop& loop() { return *loop_; }
  Board& board() { return board_; }
  SessionHub& sessions() { return sessions_; }
  store::Store& store() { return *store_; }
  launch::LocalLauncher& launcher() { return *launcher_; }

 private:
  const Clock& clock_;
  Board board_;
  SessionHub sessions_;
  std::unique_ptr<store::Store> store_;
  std::FILE* log_file_;
  Log log_;
  Telemetry telemetry_;
  std::unique_ptr<launch::LocalLauncher> launcher_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace anamnesis::coordinator
