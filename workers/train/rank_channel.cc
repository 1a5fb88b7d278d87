// SPDX-License-Identifier: Apache-2.0
#include "workers/train/rank_channel.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "workers/contract/channel.h"

namespace anamnesis::train {
namespace {

// The worker answers a request itself when its time is up; this much longer we wait for that
// answer.
constexpr std::chrono::seconds kReplyPatience{30};

constexpr std::chrono::seconds kAliveInterval{5};

std::string ToHex(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

StatusOr<std::string> FromHex(const std::string& hex) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  if (hex.size() % 2 != 0) return DataLoss("rank channel: a hex value of odd length");
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]);
    const int low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return DataLoss("rank channel: a value that is not hex");
    bytes += static_cast<char>(16 * high + low);
  }
  return bytes;
}

}  // namespace

RankChannel::RankChannel(std::optional<int> fd, bool exit_when_gone)
    : fd_(fd.value_or(-1)), exit_when_gone_(exit_when_gone) {
  if (!fd_.valid()) return;
  reader_ = std::thread([this] { ReadLoop(); });
  pthread_setname_np(reader_.native_handle(), "rank-channel");
}

RankChannel::~RankChannel() {
  if (!reader_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;  // an end of stream from here on is ours
  }
  shutdown(fd_.get(), SHUT_RD);
  reader_.join();
}

void RankChannel::ReadLoop() {
  for (;;) {
    StatusOr<Json> message = contract::ReadFrame(fd_.get());
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!message.ok()) {
      if (!closed_ && exit_when_gone_) _exit(kExitWorkerGone);
      closed_ = true;
      changed_.notify_all();
      return;
    }
    const std::string kind = message->value("kind", "");
    if (kind == "stop") {
      RequestStop();
    } else if (kind == "rejoin") {
      rejoin_plan_ = message->value("plan", "");
    } else if (kind == "store_reply" && message->contains("id") && (*message)["id"].is_number()) {
      const int64_t id = (*message)["id"].get<int64_t>();
      store_replies_[id] = *std::move(message);
    } else if (kind == "commit_reply" && message->contains("step") &&
               (*message)["step"].is_number()) {
      const int64_t step = (*message)["step"].get<int64_t>();
      commit_replies_[step] = *std::move(message);
    }
    changed_.notify_all();
  }
}

Status RankChannel::Send(const Json& message) {
  const std::lock_guard<std::mutex> lock(write_mutex_);
  return contract::WriteFrame(fd_.get(), message);
}

Status RankChannel::Report(const std::string& kind, Json body) {
  if (!connected()) return absl::OkStatus();
  body["kind"] = kind;
  return Send(body);
}

void RankChannel::Alive() {
  const int64_t now_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  const int64_t interval_ns = std::chrono::nanoseconds(kAliveInterval).count();
  int64_t last_ns = last_alive_ns_.load(std::memory_order_relaxed);
  if (now_ns - last_ns < interval_ns && last_ns != 0) return;
  if (!last_alive_ns_.compare_exchange_strong(last_ns, now_ns)) return;
  // A worker that is gone is the reader thread's business.
  Report("alive", Json::object()).IgnoreError();
}

Status RankChannel::StartCommit(int64_t step, const std::string& name, const std::string& sha256) {
  if (!connected()) return absl::OkStatus();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commit_replies_.erase(step);
  }
  return Send(Json{{"kind", "commit"}, {"step", step}, {"name", name}, {"sha256", sha256}});
}

std::optional<Status> RankChannel::CommitAnswer(int64_t step, std::chrono::milliseconds patience) {
  if (!connected()) return absl::OkStatus();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return closed_ || commit_replies_.contains(step); });
  const auto reply = commit_replies_.find(step);
  if (reply == commit_replies_.end()) {
    if (!closed_) return std::nullopt;
    return Unavailable("commit of step ", step, ": the worker is gone");
  }
  const bool granted = reply->second.value("granted", false);
  const std::string reason = reply->second.value("reason", "");
  commit_replies_.erase(reply);
  if (granted) return absl::OkStatus();
  return FailedPrecondition("commit of step ", step, " was refused: ", reason);
}

StatusOr<std::string> RankChannel::WaitRejoin() {
  if (!connected()) return FailedPrecondition("a gang is joined again through a worker's channel");
  ANAM_RETURN_IF_ERROR(Report("idle", Json::object()));
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || !rejoin_plan_.empty(); });
  if (rejoin_plan_.empty()) return Unavailable("the worker is gone");
  commit_replies_.clear();
  store_replies_.clear();
  stop_ = false;
  return std::exchange(rejoin_plan_, "");
}

Status RankChannel::Set(const std::string& key, const std::string& value) {
  if (!connected()) return FailedPrecondition("rendezvous needs a worker's channel");
  return Send(Json{{"kind", "store_set"}, {"key", key}, {"value", ToHex(value)}});
}

StatusOr<Json> RankChannel::AskStore(Json request, std::chrono::milliseconds timeout) {
  if (!connected()) return FailedPrecondition("rendezvous needs a worker's channel");
  int64_t id = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    id = next_id_++;
  }
  request["id"] = id;
  request["timeout_ms"] = timeout.count();
  ANAM_RETURN_IF_ERROR(Send(request));
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, timeout + kReplyPatience,
                    [&] { return closed_ || store_replies_.contains(id); });
  const auto reply = store_replies_.find(id);
  if (reply == store_replies_.end()) {
    if (closed_) return Unavailable("rendezvous: the worker is gone");
    return DeadlineExceeded("rendezvous: no answer from the worker");
  }
  Json answer = std::move(reply->second);
  store_replies_.erase(reply);
  if (!answer.value("ok", false)) {
    return DeadlineExceeded("rendezvous: not all members came within ", timeout.count(), " ms");
  }
  return answer;
}

StatusOr<std::string> RankChannel::Get(const std::string& key, std::chrono::milliseconds timeout) {
  ANAM_ASSIGN_OR_RETURN(const Json reply, AskStore({{"kind", "store_get"}, {"key", key}}, timeout));
  return FromHex(reply.value("value", ""));
}

Status RankChannel::Wait(const std::vector<std::string>& keys, std::chrono::milliseconds timeout) {
  return AskStore({{"kind", "store_wait"}, {"keys", keys}}, timeout).status();
}

AliveScope::AliveScope(RankChannel& channel) {
  thread_ = std::thread([this, &channel] {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stop_) {
      channel.Alive();
      stopped_.wait_for(lock, kAliveInterval, [&] { return stop_; });
    }
  });
  pthread_setname_np(thread_.native_handle(), "rank-alive");
}

AliveScope::~AliveScope() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

}  // namespace anamnesis::train
