// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/remote_ranks.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "common/io/file.h"

namespace anamnesis::agent {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

}  // namespace

class RemoteRank {
 public:
  int rank = 0;
  std::string log_path;
  FileDescriptor channel;  // the far end of the gang's
  FileDescriptor ended;    // eventfd
  std::string to_gang;     // read from the rank, not yet taken by the socket
  bool closed = false;     // the gang has closed its end
  std::optional<absl::Duration> killed;
  std::optional<ExitState> exit;    // as told; final once `to_gang` is out
  std::optional<ExitState> result;  // as the gang may know it

  void SetResult() {
    result = exit;
    channel.Reset();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(ended.get(), &one, sizeof one);
  }
};

// The gang's end.
class RemoteRankProcess final : public gang::RankProcess {
 public:
  RemoteRankProcess(RemoteRanks& ranks, std::shared_ptr<RemoteRank> rank)
      : ranks_(ranks), rank_(std::move(rank)) {}
  ~RemoteRankProcess() override {
    Kill();
    const std::lock_guard<std::mutex> lock(ranks_.mutex_);
    const auto mine = ranks_.ranks_.find(rank_->rank);
    if (mine != ranks_.ranks_.end() && mine->second == rank_) ranks_.ranks_.erase(mine);
  }

  int ended_fd() const override { return rank_->ended.get(); }
  void Kill() override {
    const std::lock_guard<std::mutex> lock(ranks_.mutex_);
    if (rank_->exit || rank_->killed) return;
    rank_->killed = ranks_.options_.clock->Monotonic();
    ranks_.SendEnd(rank_->rank, /*kill=*/true);
    ranks_.inbox_.Ring();  // from now on it is waited for with a limit
  }
  std::optional<ExitState> Poll() override {
    const std::lock_guard<std::mutex> lock(ranks_.mutex_);
    return rank_->result;
  }
  bool IsStopped() const override { return false; }
  bool IsReachable() const override { return ranks_.IsReachable(rank_->rank); }
  bool Rejoin(const std::string& plan_path) override {
    const std::lock_guard<std::mutex> lock(ranks_.mutex_);
    ranks_.SendStart(*rank_, plan_path, /*rejoin=*/true);
    return true;
  }

 private:
  RemoteRanks& ranks_;
  const std::shared_ptr<RemoteRank> rank_;
};

RemoteRanks::RemoteRanks(RemoteRanksOptions options, RelayInbox& inbox)
    : options_(std::move(options)), inbox_(inbox) {
  thread_ = std::thread([this] { Run(); });
  ::pthread_setname_np(thread_.native_handle(), "remote-ranks");
}

RemoteRanks::~RemoteRanks() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  inbox_.Ring();
  thread_.join();
}

StatusOr<gang::RankLink> RemoteRanks::Start(int rank, const SpawnOptions& options,
                                            absl::Duration now) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ResourceExhausted("socketpair: ", ErrnoText(errno));
  }
  FileDescriptor ours(ends[0]);
  auto remote = std::make_shared<RemoteRank>();
  remote->rank = rank;
  remote->log_path = options.log_path;
  remote->channel = FileDescriptor(ends[1]);
  remote->ended = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!remote->ended.valid()) return ResourceExhausted("eventfd: ", ErrnoText(errno));
  ::fcntl(remote->channel.get(), F_SETFL, O_NONBLOCK);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ranks_[rank] = remote;
    SendStart(*remote, options.argv[1], /*rejoin=*/false);
  }
  inbox_.Ring();  // its channel is to be watched
  return gang::RankLink(std::make_unique<RemoteRankProcess>(*this, std::move(remote)),
                        std::move(ours), now);
}

void RemoteRanks::SendStart(const RemoteRank& rank, const std::string& plan_path, bool rejoin) {
  v1::Relay relay;
  v1::StartRank& start = *relay.mutable_start();
  start.set_rank(rank.rank);
  StatusOr<std::string> plan = ReadFile(plan_path);
  if (plan.ok()) start.set_plan(*std::move(plan));  // else the rank says that it is none
  start.set_threads(static_cast<int32_t>(options_.threads));
  start.set_log_path(rank.log_path);
  start.set_rejoin(rejoin);
  options_.send(NodeOf(rank.rank), std::move(relay));
}

void RemoteRanks::SendEnd(int rank, bool kill) {
  v1::Relay relay;
  relay.mutable_end()->set_rank(rank);
  relay.mutable_end()->set_kill(kill);
  options_.send(NodeOf(rank), std::move(relay));
}

bool RemoteRanks::IsReachable(int rank) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto heard = heard_.find(NodeOf(rank));
  return heard != heard_.end() && options_.clock->Monotonic() < heard->second + options_.patience;
}

void RemoteRanks::Run() {
  for (;;) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (closing_) return;
    }
    Turn();
  }
}

void RemoteRanks::Turn() {
  std::vector<pollfd> fds = {{inbox_.fd(), POLLIN, 0}};
  std::vector<std::shared_ptr<RemoteRank>> watched;
  bool waits_for_kill = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [number, rank] : ranks_) {
      waits_for_kill = waits_for_kill || (rank->killed && !rank->result);
      if (!rank->channel.valid() || rank->closed) continue;
      const short events = rank->to_gang.empty() ? POLLIN : POLLIN | POLLOUT;
      fds.push_back({rank->channel.get(), events, 0});
      watched.push_back(rank);
    }
  }
  ::poll(fds.data(), fds.size(), waits_for_kill ? 500 : -1);
  const std::lock_guard<std::mutex> lock(mutex_);
  TakeInbox();
  for (size_t i = 0; i < watched.size(); ++i) Serve(watched[i].get(), fds[i + 1].revents != 0);
  const absl::Duration now = options_.clock->Monotonic();
  for (const auto& [number, rank] : ranks_) {
    if (rank->result || !rank->killed || now < *rank->killed + options_.kill_patience) continue;
    rank->exit = {.signal = SIGKILL};
    rank->SetResult();
  }
}

void RemoteRanks::TakeInbox() {
  for (const v1::Relay& relay : inbox_.Take()) {
    if (relay.has_ready() || heard_.contains(relay.node())) {
      heard_[relay.node()] = options_.clock->Monotonic();
    }
    if (relay.has_leaving()) options_.on_node_leaves();
    const int number = relay.has_bytes()   ? relay.bytes().rank()
                       : relay.has_ended() ? relay.ended().rank()
                                           : -1;
    const auto found = ranks_.find(number);
    if (found == ranks_.end()) continue;
    RemoteRank& rank = *found->second;
    if (relay.has_bytes()) rank.to_gang += relay.bytes().data();
    if (relay.has_ended() && !rank.exit) {
      rank.exit = {.signal = relay.ended().signal(), .exit_code = relay.ended().exit_code()};
    }
    Serve(&rank, /*readable=*/false);
  }
}

void RemoteRanks::Serve(RemoteRank* rank, bool readable) {
  if (rank->result) return;
  while (!rank->to_gang.empty() && !rank->closed) {
    const ssize_t sent =
        ::send(rank->channel.get(), rank->to_gang.data(), rank->to_gang.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) rank->to_gang.clear();  // the gang has closed its end
    if (sent < 0) break;
    rank->to_gang.erase(0, static_cast<size_t>(sent));
  }
  if (rank->exit && (rank->to_gang.empty() || rank->closed)) return rank->SetResult();
  while (readable && !rank->closed) {
    char buffer[kChunkBytes];
    const ssize_t got = ::read(rank->channel.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      rank->closed = true;
      if (!rank->exit) SendEnd(rank->rank, /*kill=*/false);
      return;
    }
    v1::Relay relay;
    relay.mutable_bytes()->set_rank(rank->rank);
    relay.mutable_bytes()->set_data(buffer, static_cast<size_t>(got));
    options_.send(NodeOf(rank->rank), std::move(relay));
  }
}

}  // namespace anamnesis::agent
