// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/relay_inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace anamnesis::agent {

StatusOr<std::unique_ptr<RelayInbox>> RelayInbox::Create() {
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  return std::unique_ptr<RelayInbox>(new RelayInbox(std::move(event)));
}

void RelayInbox::Put(const v1::Relay& relay) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    relays_.push_back(relay);
  }
  Ring();
}

void RelayInbox::Ring() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

std::vector<v1::Relay> RelayInbox::Take() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_.get(), &count, sizeof count);
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(relays_, {});
}

}  // namespace anamnesis::agent
