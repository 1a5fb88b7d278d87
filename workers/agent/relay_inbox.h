// SPDX-License-Identifier: Apache-2.0
// RelayInbox: relays on their way from the session's thread to the one that serves ranks.
// Thread-safe; outlives the session.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "anamnesis/v1/worker_service.pb.h"
#include "common/io/file.h"

namespace anamnesis::agent {

class RelayInbox {
 public:
  static StatusOr<std::unique_ptr<RelayInbox>> Create();

  void Put(const v1::Relay& relay);
  void Ring() const;
  std::vector<v1::Relay> Take();
  int fd() const { return event_.get(); }  // readable once it was rung, or something was put in

 private:
  explicit RelayInbox(FileDescriptor event) : event_(std::move(event)) {}

  const FileDescriptor event_;
  std::mutex mutex_;
  std::vector<v1::Relay> relays_;
};

}  // namespace anamnesis::agent
