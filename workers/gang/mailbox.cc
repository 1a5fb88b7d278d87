// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace anamnesis::gang {

StatusOr<std::unique_ptr<Mailbox>> Mailbox::Create() {
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  return std::unique_ptr<Mailbox>(new Mailbox(std::move(event)));
}

void Mailbox::Ring() const {
  const uint64_t one = 1;
  // Fails only when the box was rung 2^64 times without being emptied.
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

void Mailbox::AnswerCommit(int rank, int64_t step, CommitAnswer answer) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    mail_.answers.push_back({rank, step, std::move(answer)});
  }
  Ring();
}

void Mailbox::Interrupt() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++mail_.interrupts;
  }
  Ring();
}

void Mailbox::NodeLeaves() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    mail_.node_leaves = true;
  }
  Ring();
}

Mailbox::Mail Mailbox::Take() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_.get(), &count, sizeof count);
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(mail_, {});
}

}  // namespace anamnesis::gang
