// SPDX-License-Identifier: Apache-2.0
// RankLink: the worker's end of one rank: the process, its channel without blocking in either
// direction, and what is known of it. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/process/spawn.h"
#include "workers/contract/channel.h"
#include "workers/contract/report.h"
#include "workers/gang/rank_process.h"

namespace anamnesis::gang {

class RankLink {
 public:
  // Starts `options.argv --channel-fd N`. The child holds the only other end of the channel.
  static StatusOr<RankLink> Start(SpawnOptions options, absl::Duration now);

  // A rank whose channel is at the other end of `channel`, a stream socket.
  RankLink(std::unique_ptr<RankProcess> process, FileDescriptor channel, absl::Duration now);

  RankProcess& process() { return *process_; }
  const RankProcess& process() const { return *process_; }
  int channel_fd() const { return channel_.get(); }
  bool open() const { return channel_.valid(); }
  bool wants_write() const { return open() && !outgoing_.empty(); }

  // Forgets the epoch before and sends the survivor the plan of the next.
  void Rejoin(const std::string& plan_path, absl::Duration now);

  // Queues a message; what the socket takes is written at once.
  void Send(const Json& message);
  // Writes what is queued, as far as the socket takes it.
  void Flush();
  // Reads what is there and returns the whole messages. kUnavailable at the end of the stream
  // (messages before it are still returned through `messages`), kDataLoss on a broken frame.
  Status Receive(std::vector<Json>* messages);
  void Close() { channel_.Reset(); }

  absl::Duration last_heard;  // when the last message came
  int64_t last_step = 0;
  bool ended = false;  // reaped
  bool idle = false;   // waits for the next epoch
  bool has_done = false;
  bool has_failed = false;  // its evidence is recorded; its exit is no news
  contract::DoneReport done;
  ExitState exit_state;

 private:
  std::unique_ptr<RankProcess> process_;
  FileDescriptor channel_;
  contract::FrameBuffer incoming_;
  std::string outgoing_;
};

}  // namespace anamnesis::gang
