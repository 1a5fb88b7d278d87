// SPDX-License-Identifier: Apache-2.0
#include "workers/collective/channel_store.h"

#include <c10/util/Exception.h>

#include <utility>

namespace anamnesis::collective {
namespace {

void ThrowIfError(const Status& status, const char* operation) {
  TORCH_CHECK_WITH(DistStoreError, status.ok(), "rendezvous ", operation, ": ", status.ToString());
}

[[noreturn]] void ThrowUnsupported(const char* operation) {
  C10_THROW_ERROR(DistStoreError, std::string("rendezvous store has no operation ") + operation);
}

}  // namespace

ChannelStore::ChannelStore(std::shared_ptr<KeyValue> channel, std::string prefix)
    : channel_(std::move(channel)), prefix_(std::move(prefix)) {}

c10::intrusive_ptr<c10d::Store> ChannelStore::clone() {
  auto copy = c10::make_intrusive<ChannelStore>(channel_, prefix_);
  copy->setTimeout(timeout_);
  return copy;
}

void ChannelStore::set(const std::string& key, const std::vector<uint8_t>& value) {
  ThrowIfError(channel_->Set(prefix_ + key, std::string(value.begin(), value.end())), "set");
}

std::vector<uint8_t> ChannelStore::get(const std::string& key) {
  const StatusOr<std::string> value = channel_->Get(prefix_ + key, timeout_);
  ThrowIfError(value.status(), "get");
  return {value->begin(), value->end()};
}

bool ChannelStore::check(const std::vector<std::string>& keys) {
  std::vector<std::string> full;
  for (const std::string& key : keys) full.push_back(prefix_ + key);
  const Status status = channel_->Wait(full, std::chrono::milliseconds(0));
  if (absl::IsDeadlineExceeded(status)) return false;
  ThrowIfError(status, "check");
  return true;
}

void ChannelStore::wait(const std::vector<std::string>& keys) { wait(keys, timeout_); }

void ChannelStore::wait(const std::vector<std::string>& keys,
                        const std::chrono::milliseconds& timeout) {
  std::vector<std::string> full;
  for (const std::string& key : keys) full.push_back(prefix_ + key);
  ThrowIfError(channel_->Wait(full, timeout), "wait");
}

int64_t ChannelStore::add(const std::string&, int64_t) { ThrowUnsupported("add"); }
bool ChannelStore::deleteKey(const std::string&) { ThrowUnsupported("deleteKey"); }
int64_t ChannelStore::getNumKeys() { ThrowUnsupported("getNumKeys"); }

}  // namespace anamnesis::collective
