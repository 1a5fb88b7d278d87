// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/session_hub.h"

#include <vector>

namespace anamnesis::coordinator {
namespace {

// A new session of `node`: what it has not acknowledged may never have come.
v1::SessionResponse SendAgain(int64_t node) {
  v1::SessionResponse message;
  message.mutable_relay()->set_node(static_cast<int32_t>(node));
  message.mutable_relay()->set_again(true);
  return message;
}

}  // namespace

void SessionHub::Register(const WorkerName& worker, const std::string& token,
                          const std::shared_ptr<SessionLink>& link) {
  std::shared_ptr<SessionLink> before;
  std::vector<std::shared_ptr<SessionLink>> others;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = entries_[worker];
    before = std::move(entry.link);
    entry = {token, link};
    for (auto other = entries_.lower_bound({worker.job, 0});
         other != entries_.end() && other->first.job == worker.job; ++other) {
      if (other->first.node != worker.node && other->second.token == token) {
        others.push_back(other->second.link);
      }
    }
  }
  if (before) before->Close(Unavailable("the worker has opened another session"));
  for (const auto& other : others) other->Push(SendAgain(worker.node));
}

bool SessionHub::Unregister(const WorkerName& worker, const SessionLink* link) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(worker);
  if (found == entries_.end() || found->second.link.get() != link) return false;
  entries_.erase(found);
  return true;
}

bool SessionHub::Has(const WorkerName& worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.contains(worker);
}

bool SessionHub::Push(core::JobId job, v1::SessionResponse message) {
  std::shared_ptr<SessionLink> link;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = entries_.find({job, 0});
    if (found == entries_.end()) return false;
    link = found->second.link;
  }
  link->Push(std::move(message));
  return true;
}

bool SessionHub::PushToAll(core::JobId job, const v1::SessionResponse& message) {
  std::vector<std::shared_ptr<SessionLink>> links;
  bool leads = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto entry = entries_.lower_bound({job, 0});
         entry != entries_.end() && entry->first.job == job; ++entry) {
      leads = leads || entry->first.node == 0;
      links.push_back(entry->second.link);
    }
  }
  for (const auto& link : links) link->Push(message);
  return leads;
}

bool SessionHub::Relay(const WorkerName& from, const SessionLink* link, v1::Relay relay) {
  std::shared_ptr<SessionLink> other;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto sender = entries_.find(from);
    if (sender == entries_.end() || sender->second.link.get() != link) return false;
    const auto found = entries_.find({from.job, relay.node()});
    if (found == entries_.end() || found->second.token != sender->second.token) return true;
    other = found->second.link;
  }
  v1::SessionResponse message;
  *message.mutable_relay() = std::move(relay);
  message.mutable_relay()->set_node(static_cast<int32_t>(from.node));
  message.mutable_relay()->set_again(false);
  other->Push(std::move(message));
  return true;
}

void SessionHub::CloseAll(const Status& status) {
  std::map<WorkerName, Entry> entries;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    entries = entries_;
  }
  for (const auto& [worker, entry] : entries) entry.link->Close(status);
}

}  // namespace anamnesis::coordinator
