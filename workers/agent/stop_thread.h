// SPDX-License-Identifier: Apache-2.0
// StopThread: what ends a worker from outside, a stop of the coordinator or a signal. A gang is
// interrupted (it saves, or with `at_once` is killed); a worker without one reports and ends, and
// with it the programs that prepare its data. All functions are thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "common/io/file.h"
#include "workers/gang/mailbox.h"

namespace anamnesis::agent {

class StopThread {
 public:
  // Takes over SIGINT, SIGTERM and SIGHUP of the process: before other threads are started.
  // `leave` ends the process; `preparing` says whether an epoch is under way without a gang.
  static StatusOr<std::unique_ptr<StopThread>> Start(gang::Mailbox& mailbox,
                                                     std::function<void(bool preparing)> leave);
  ~StopThread();

  void Request(bool at_once);

  // What the worker is at.
  void BeginPreparing();
  void BeginTraining();
  void EndEpoch();

  bool requested() const;

 private:
  enum class Stage { kIdle, kPreparing, kTraining };

  StopThread(gang::Mailbox& mailbox, std::function<void(bool)> leave, FileDescriptor signals,
             FileDescriptor event);
  void Run();
  void Ring() const;
  void Carry();

  gang::Mailbox& mailbox_;
  const std::function<void(bool)> leave_;
  const FileDescriptor signals_, event_;
  mutable std::mutex mutex_;
  Stage stage_ = Stage::kIdle;
  bool requested_ = false, at_once_ = false;
  int interrupts_sent_ = 0;  // to the gang of this epoch
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace anamnesis::agent
