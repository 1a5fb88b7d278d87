// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/rendezvous.h"

#include <algorithm>

namespace anamnesis::gang {
namespace {

constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kMaxTotalBytes = 64u << 20;
constexpr size_t kMaxWaitersPerRank = 1024;
constexpr const char* kSource = "rendezvous";

Status CheckKey(const std::string& key) {
  if (!key.empty() && key.size() <= kMaxKeyBytes) return absl::OkStatus();
  return InvalidArgument(kSource, ": key of ", key.size(), " bytes, expected 1 to ", kMaxKeyBytes);
}

bool IsHex(const std::string& text) {
  return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

StatusOr<std::vector<RendezvousStore::Reply>> RendezvousStore::Handle(int rank, const Json& request,
                                                                      absl::Duration now) {
  ANAM_ASSIGN_OR_RETURN(const std::string kind, JsonString(request, "kind", kSource));
  if (kind == "store_set") {
    ANAM_ASSIGN_OR_RETURN(const std::string key, JsonString(request, "key", kSource));
    ANAM_ASSIGN_OR_RETURN(std::string value, JsonString(request, "value", kSource));
    ANAM_RETURN_IF_ERROR(CheckKey(key));
    if (!IsHex(value)) return InvalidArgument(kSource, ": value is not lower-case hexadecimal");
    std::string& slot = values_[key];
    size_bytes_ += value.size() + key.size() - slot.size();
    slot = std::move(value);
    if (size_bytes_ > kMaxTotalBytes) {
      return ResourceExhausted(kSource, ": ", size_bytes_, " bytes, expected at most ",
                               kMaxTotalBytes);
    }
    std::vector<Reply> due;
    std::erase_if(waiters_, [&](const Waiter& waiter) {
      if (!Satisfied(waiter)) return false;
      due.push_back(Answer(waiter, true));
      return true;
    });
    return due;
  }
  Waiter waiter{.rank = rank, .wants_value = kind == "store_get"};
  ANAM_ASSIGN_OR_RETURN(waiter.id, JsonInt(request, "id", kSource));
  ANAM_ASSIGN_OR_RETURN(const int64_t timeout_ms, JsonInt(request, "timeout_ms", kSource));
  waiter.deadline = now + absl::Milliseconds(std::max<int64_t>(0, timeout_ms));
  if (kind == "store_get") {
    ANAM_ASSIGN_OR_RETURN(std::string key, JsonString(request, "key", kSource));
    waiter.keys.push_back(std::move(key));
  } else if (kind == "store_wait") {
    const auto keys = request.find("keys");
    if (keys == request.end() || !keys->is_array())
      return InvalidArgument(kSource, ": 'keys' is no list");
    for (const Json& key : *keys) {
      if (!key.is_string())
        return InvalidArgument(kSource, ": 'keys' holds something else than strings");
      waiter.keys.push_back(key.get<std::string>());
    }
  } else {
    return InvalidArgument(kSource, ": unknown request '", kind, "'");
  }
  for (const std::string& key : waiter.keys) ANAM_RETURN_IF_ERROR(CheckKey(key));
  if (Satisfied(waiter)) return std::vector<Reply>{Answer(waiter, true)};
  const auto waiting = std::count_if(waiters_.begin(), waiters_.end(),
                                     [rank](const Waiter& other) { return other.rank == rank; });
  if (static_cast<size_t>(waiting) >= kMaxWaitersPerRank) {
    return ResourceExhausted(kSource, ": rank ", rank, " waits for ", waiting, " keys at once");
  }
  waiters_.push_back(std::move(waiter));
  return std::vector<Reply>();
}

std::vector<RendezvousStore::Reply> RendezvousStore::Expire(absl::Duration now) {
  std::vector<Reply> due;
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    if (now < waiter.deadline) return false;
    due.push_back(Answer(waiter, false));
    return true;
  });
  return due;
}

absl::Duration RendezvousStore::NextDeadline() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const Waiter& waiter : waiters_) next = std::min(next, waiter.deadline);
  return next;
}

void RendezvousStore::Forget(int rank) {
  std::erase_if(waiters_, [rank](const Waiter& waiter) { return waiter.rank == rank; });
}

bool RendezvousStore::Satisfied(const Waiter& waiter) const {
  return std::all_of(waiter.keys.begin(), waiter.keys.end(),
                     [this](const std::string& key) { return values_.contains(key); });
}

RendezvousStore::Reply RendezvousStore::Answer(const Waiter& waiter, bool ok) const {
  Json message = {{"kind", "store_reply"}, {"id", waiter.id}, {"ok", ok}, {"value", ""}};
  if (ok && waiter.wants_value) message["value"] = values_.at(waiter.keys.front());
  return {.rank = waiter.rank, .message = std::move(message)};
}

}  // namespace anamnesis::gang
