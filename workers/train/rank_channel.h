// SPDX-License-Identifier: Apache-2.0
// RankChannel: a rank's side of the socketpair to its worker (workers/contract/report.h lists the
// messages). One reader thread, named "rank-channel", hands replies to whoever waits. When the
// worker's end closes, the reader thread ends the process at once with exit code 75: a rank without
// a worker must not write another byte. Without a channel (a rank started by hand) reports go
// nowhere, commits are granted here and there is no rendezvous. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/collective/key_value.h"

namespace anamnesis::train {

class RankChannel : public collective::KeyValue {
 public:
  static constexpr int kExitWorkerGone = 75;

  // A channel over `fd`, which it owns; nothing: no worker. `exit_when_gone` false (tests): only
  // Closed() tells.
  explicit RankChannel(std::optional<int> fd, bool exit_when_gone = true);
  ~RankChannel() override;
  RankChannel(const RankChannel&) = delete;
  RankChannel& operator=(const RankChannel&) = delete;

  bool connected() const { return fd_.valid(); }

  // Sends {"kind": kind, …body}. Without a worker nothing happens.
  Status Report(const std::string& kind, Json body);

  // Tells the worker, at most every five seconds, that the rank works on something that is no step.
  void Alive();

  // Asks for the right to commit the folder `name` of a step.
  Status StartCommit(int64_t step, const std::string& name, const std::string& sha256);
  // The answer to that: OK (always without a worker), or kFailedPrecondition with the worker's
  // reason when refused; kUnavailable when the worker is gone. Nothing while there is none after
  // `patience`.
  std::optional<Status> CommitAnswer(int64_t step, std::chrono::milliseconds patience);

  // After a peer was lost: says that this rank waits, and returns the plan of the next epoch (a
  // path). kUnavailable when the worker goes instead. Answers and stops of before are forgotten.
  StatusOr<std::string> WaitRejoin();

  // True once the worker has asked to stop, or RequestStop() was called.
  bool stop_requested() const { return stop_.load(std::memory_order_relaxed); }
  void RequestStop() { stop_.store(true, std::memory_order_relaxed); }  // async-signal-safe

  Status Set(const std::string& key, const std::string& value) override;
  StatusOr<std::string> Get(const std::string& key, std::chrono::milliseconds timeout) override;
  Status Wait(const std::vector<std::string>& keys, std::chrono::milliseconds timeout) override;

 private:
  void ReadLoop();
  Status Send(const Json& message);
  StatusOr<Json> AskStore(Json request, std::chrono::milliseconds timeout);

  FileDescriptor fd_;
  const bool exit_when_gone_;
  std::atomic<bool> stop_{false};
  std::mutex write_mutex_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;                     // guarded by mutex_
  int64_t next_id_ = 1;                     // guarded by mutex_
  std::map<int64_t, Json> store_replies_;   // guarded by mutex_; by id
  std::map<int64_t, Json> commit_replies_;  // guarded by mutex_; by step
  std::string rejoin_plan_;                 // of a rejoin that has come
  std::atomic<int64_t> last_alive_ns_{0};
  std::thread reader_;
};

// Sends "alive" from a thread of its own, named "rank-alive", as long as it lives: around a call
// that cannot do so itself (loading a model, waiting for rank 0 to save).
class AliveScope {
 public:
  explicit AliveScope(RankChannel& channel);
  ~AliveScope();
  AliveScope(const AliveScope&) = delete;
  AliveScope& operator=(const AliveScope&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace anamnesis::train
