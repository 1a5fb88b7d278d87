// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/stop_thread.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "workers/agent/machine.h"

namespace anamnesis::agent {

StatusOr<std::unique_ptr<StopThread>> StopThread::Start(gang::Mailbox& mailbox,
                                                        std::function<void(bool)> leave) {
  ANAM_ASSIGN_OR_RETURN(FileDescriptor signals, CatchInterrupts());
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  return std::unique_ptr<StopThread>(
      new StopThread(mailbox, std::move(leave), std::move(signals), std::move(event)));
}

StopThread::StopThread(gang::Mailbox& mailbox, std::function<void(bool)> leave,
                       FileDescriptor signals, FileDescriptor event)
    : mailbox_(mailbox),
      leave_(std::move(leave)),
      signals_(std::move(signals)),
      event_(std::move(event)) {
  thread_ = std::thread([this] { Run(); });
  ::pthread_setname_np(thread_.native_handle(), "stop");
}

StopThread::~StopThread() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  Ring();
  thread_.join();
}

void StopThread::Ring() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void StopThread::Request(bool at_once) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    requested_ = true;
    at_once_ = at_once_ || at_once;
  }
  Ring();
}

void StopThread::BeginPreparing() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stage_ = Stage::kPreparing;
}

void StopThread::BeginTraining() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    mailbox_.Take();  // what the last gang did not read
    interrupts_sent_ = 0;
    stage_ = Stage::kTraining;
  }
  Ring();  // a request that came before finds the gang
}

void StopThread::EndEpoch() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stage_ = Stage::kIdle;
}

bool StopThread::requested() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requested_;
}

void StopThread::Run() {
  for (;;) {
    pollfd fds[] = {{signals_.get(), POLLIN, 0}, {event_.get(), POLLIN, 0}};
    ::poll(fds, 2, -1);
    char buffer[128];
    while (::read(event_.get(), buffer, sizeof(uint64_t)) > 0) {
    }
    int num_signals = 0, num_interrupts = 0;
    signalfd_siginfo signal{};
    while (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
      ++num_signals;
      if (signal.ssi_signo == SIGINT) ++num_interrupts;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (closing_) return;
      if (num_signals > 0) {
        // A second Ctrl-C kills. A second SIGTERM does not: engines send it to a job in more than
        // one way, and kill by themselves what does not end.
        at_once_ = at_once_ || num_interrupts > 1 || (requested_ && num_interrupts > 0);
        requested_ = true;
      }
    }
    Carry();
  }
}

void StopThread::Carry() {
  bool preparing = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!requested_) return;
    if (stage_ == Stage::kTraining) {
      const int wanted = at_once_ ? 2 : 1;
      for (; interrupts_sent_ < wanted; ++interrupts_sent_) mailbox_.Interrupt();
      return;
    }
    preparing = stage_ == Stage::kPreparing;
  }
  leave_(preparing);
}

}  // namespace anamnesis::agent
