// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/session_hub.h"

namespace anamnesis::coordinator {

void SessionHub::Register(core::JobId job, const std::shared_ptr<SessionLink>& link) {
  std::shared_ptr<SessionLink> before = link;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    links_[job].swap(before);
  }
  if (before) before->Close(Unavailable("the worker has opened another session"));
}

bool SessionHub::Unregister(core::JobId job, const SessionLink* link) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = links_.find(job);
  if (found == links_.end() || found->second.get() != link) return false;
  links_.erase(found);
  return true;
}

bool SessionHub::Has(core::JobId job) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return links_.contains(job);
}

bool SessionHub::Push(core::JobId job, v1::SessionResponse message) {
  std::shared_ptr<SessionLink> link;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = links_.find(job);
    if (found == links_.end()) return false;
    link = found->second;
  }
  link->Push(std::move(message));
  return true;
}

void SessionHub::CloseAll(const Status& status) {
  std::map<core::JobId, std::shared_ptr<SessionLink>> links;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    links = links_;
  }
  for (const auto& [job, link] : links) link->Close(status);
}

}  // namespace anamnesis::coordinator
