// SPDX-License-Identifier: Apache-2.0
#include "services/launch/outbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace anamnesis::launch {

StatusOr<std::unique_ptr<Outbox>> Outbox::Create() {
  FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  return std::unique_ptr<Outbox>(new Outbox(std::move(event)));
}

void Outbox::Put(core::Event event) {
  const std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(std::move(event));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_.get(), &one, sizeof one);
}

std::vector<core::Event> Outbox::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(event_.get(), &count, sizeof count);
  return std::exchange(events_, {});
}

}  // namespace anamnesis::launch
