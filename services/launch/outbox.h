// SPDX-License-Identifier: Apache-2.0
// Outbox: what a launcher has to tell, from any thread to the coordinator's loop. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "common/io/file.h"
#include "services/core/event.h"

namespace anamnesis::launch {

class Outbox {
 public:
  static StatusOr<std::unique_ptr<Outbox>> Create();

  void Put(core::Event event);
  std::vector<core::Event> Take();
  int fd() const { return event_.get(); }  // readable while something lies in it

 private:
  explicit Outbox(FileDescriptor event) : event_(std::move(event)) {}

  const FileDescriptor event_;
  std::mutex mutex_;
  std::vector<core::Event> events_;
};

}  // namespace anamnesis::launch
