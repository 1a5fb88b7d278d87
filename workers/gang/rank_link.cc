// SPDX-License-Identifier: Apache-2.0
#include "workers/gang/rank_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/check.h"

namespace anamnesis::gang {

StatusOr<RankLink> RankLink::Start(SpawnOptions options, absl::Duration now) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ResourceExhausted("socketpair: ", ErrnoText(errno));
  }
  FileDescriptor ours(ends[0]);
  const FileDescriptor theirs(ends[1]);
  options.inherited_fd = theirs.get();
  options.argv.push_back("--channel-fd");
  options.argv.push_back(std::to_string(theirs.get()));
  ANAM_ASSIGN_OR_RETURN(ChildProcess process, ChildProcess::Spawn(options));
  return RankLink(MakeChildRank(std::move(process)), std::move(ours), now);
}

RankLink::RankLink(std::unique_ptr<RankProcess> process, FileDescriptor channel, absl::Duration now)
    : last_heard(now), process_(std::move(process)), channel_(std::move(channel)) {
  ::fcntl(channel_.get(), F_SETFL, O_NONBLOCK);  // of our end only: the rank's end blocks
}

void RankLink::Rejoin(const std::string& plan_path, absl::Duration now) {
  last_heard = now;
  last_step = 0;
  idle = has_done = has_failed = false;
  done = {};
  if (!process_->Rejoin(plan_path)) Send({{"kind", "rejoin"}, {"plan", plan_path}});
}

void RankLink::Send(const Json& message) {
  if (!open()) return;
  const StatusOr<std::string> frame = contract::EncodeFrame(message);
  ANAM_CHECK(frame.ok());
  outgoing_ += *frame;
  Flush();
}

void RankLink::Flush() {
  while (wants_write()) {
    const ssize_t sent = ::send(channel_.get(), outgoing_.data(), outgoing_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) outgoing_.clear();  // the reading side will see the end
    if (sent < 0) return;
    outgoing_.erase(0, static_cast<size_t>(sent));
  }
}

Status RankLink::Receive(std::vector<Json>* messages) {
  char buffer[1 << 16];
  while (open()) {
    const ssize_t got = ::read(channel_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return absl::OkStatus();
    if (got <= 0) {
      if (got == 0 && !incoming_.empty()) return DataLoss("channel: ended inside a frame");
      return Unavailable("channel: closed by the rank");
    }
    incoming_.Append(std::string_view(buffer, static_cast<size_t>(got)));
    while (true) {
      ANAM_ASSIGN_OR_RETURN(std::optional<Json> message, incoming_.Next());
      if (!message.has_value()) break;
      messages->push_back(*std::move(message));
    }
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::gang
