// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/rank_host.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "common/io/file.h"
#include "workers/agent/relay_line.h"
#include "workers/contract/channel.h"
#include "workers/contract/report.h"
#include "workers/gang/rank_environment.h"

namespace anamnesis::agent {
void RankHost::Take(const v1::Relay& relay) {
  if (relay.has_start()) return Start(relay.start());
  const auto found = ranks_.find(relay.has_bytes() ? relay.bytes().rank()
                                 : relay.has_end() ? relay.end().rank()
                                                   : -1);
  if (found == ranks_.end()) return;  // it has ended, and that is on its way
  Rank& rank = found->second;
  if (relay.has_bytes()) {
    rank.to_rank += relay.bytes().data();
    Write(&rank);
  } else if (relay.end().kill()) {
    rank.process.Signal(SIGKILL);
  } else {
    rank.channel.Reset();  // a rank ends with its channel
  }
}

void RankHost::Start(const v1::StartRank& start) {
  const int number = start.rank();
  if (!options_.refusal.ok()) return Refuse(number, options_.refusal);
  const std::string plan_path = Cat(options_.folder, "/plan-rank-", number, ".json");
  const Status written = WriteFileDurably(plan_path, start.plan());
  if (!written.ok()) return Refuse(number, written);
  if (start.rejoin()) {
    const auto found = ranks_.find(number);
    if (found == ranks_.end()) return;  // its end is on its way
    const StatusOr<std::string> frame =
        contract::EncodeFrame({{"kind", "rejoin"}, {"plan", plan_path}});
    found->second.to_rank += *frame;
    return Write(&found->second);
  }
  ranks_.erase(number);  // killed: the leading worker has given it up
  StatusOr<Rank> rank = Spawn(start, plan_path);
  if (!rank.ok()) return Refuse(number, rank.status());
  ranks_.emplace(number, *std::move(rank));
}

StatusOr<RankHost::Rank> RankHost::Spawn(const v1::StartRank& start,
                                         const std::string& plan_path) const {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ResourceExhausted("socketpair: ", ErrnoText(errno));
  }
  FileDescriptor ours(ends[0]);
  const FileDescriptor theirs(ends[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  // The gang's folder, where this node has it too.
  std::string log_path = start.log_path();
  const std::filesystem::path log(log_path);
  if (!PathExists(log.parent_path().string())) {
    log_path = Cat(options_.folder, "/", log.filename().string());
  }
  ::unlink(log_path.c_str());
  gang::RankSeat seat;
  if (start.rank() >= 0 && static_cast<size_t>(start.rank()) < options_.seats.size()) {
    seat = options_.seats[static_cast<size_t>(start.rank())];
  }
  seat.threads = start.threads();
  const SpawnOptions spawn{
      .argv = {options_.rank_program, plan_path, "--channel-fd", std::to_string(theirs.get())},
      .environment = gang::RankEnvironment(seat),
      .log_path = log_path,
      .inherited_fd = theirs.get(),
      .cpus = seat.cpus};
  ANAM_ASSIGN_OR_RETURN(ChildProcess process, ChildProcess::Spawn(spawn));
  return Rank{std::move(process), std::move(ours), ""};
}

// As if the rank had said so, and ended.
void RankHost::Refuse(int rank, const Status& why) const {
  if (const auto frame = contract::EncodeFrame(contract::ErrorMessage(why)); frame.ok()) {
    SendBytes(rank, *frame);
  }
  v1::Relay relay;
  relay.mutable_ended()->set_rank(rank);
  relay.mutable_ended()->set_exit_code(1);
  options_.send(std::move(relay));
}

void RankHost::AddDescriptors(std::vector<pollfd>* fds) const {
  for (const auto& [number, rank] : ranks_) {
    fds->push_back({rank.process.pidfd(), POLLIN, 0});
    if (!rank.channel.valid()) continue;
    const short events = rank.to_rank.empty() ? POLLIN : POLLIN | POLLOUT;
    fds->push_back({rank.channel.get(), events, 0});
  }
}

void RankHost::Turn() {
  for (auto entry = ranks_.begin(); entry != ranks_.end();) {
    const auto& [number, rank] = *entry;
    // Its end is looked for first: what it wrote before is read afterwards.
    const std::optional<ExitState> exit = entry->second.process.Poll();
    Write(&entry->second);
    Read(number, &entry->second);
    if (!exit) {
      ++entry;
      continue;
    }
    v1::Relay relay;
    relay.mutable_ended()->set_rank(number);
    relay.mutable_ended()->set_signal(exit->signal);
    relay.mutable_ended()->set_exit_code(exit->exit_code);
    options_.send(std::move(relay));
    entry = ranks_.erase(entry);
  }
}

void RankHost::Write(Rank* rank) const {
  while (rank->channel.valid() && !rank->to_rank.empty()) {
    const ssize_t sent =
        ::send(rank->channel.get(), rank->to_rank.data(), rank->to_rank.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) rank->to_rank.clear();  // the rank is ending
    if (sent < 0) return;
    rank->to_rank.erase(0, static_cast<size_t>(sent));
  }
}

void RankHost::Read(int number, Rank* rank) const {
  char buffer[kRelayBytes];
  while (rank->channel.valid()) {
    const ssize_t got = ::read(rank->channel.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return rank->channel.Reset();
    SendBytes(number, {buffer, static_cast<size_t>(got)});
  }
}

void RankHost::SendBytes(int rank, std::string_view data) const {
  v1::Relay relay;
  relay.mutable_bytes()->set_rank(rank);
  relay.mutable_bytes()->set_data(data.data(), data.size());
  options_.send(std::move(relay));
}

}  // namespace anamnesis::agent
