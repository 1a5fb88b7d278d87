// SPDX-License-Identifier: Apache-2.0
// RankHost: the worker of a node that does not lead: it starts the ranks that the leading worker
// asks for, carries the bytes of their channels, and tells how they end. It understands no message
// of theirs. One thread.
#pragma once

#include <poll.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "anamnesis/v1/worker_service.pb.h"
#include "common/process/spawn.h"
#include "workers/gang/rank_environment.h"

namespace anamnesis::agent {

struct RankHostOptions {
  std::string rank_program;
  std::string folder;  // of this worker, for plans, and for logs where the gang's is not here
  Status refusal;      // why no rank can run here
  std::vector<gang::RankSeat> seats;          // by the number of the rank
  std::function<void(v1::Relay relay)> send;  // to the leading worker
};

class RankHost {
 public:
  explicit RankHost(RankHostOptions options) : options_(std::move(options)) {}

  // What the leading worker says; one without content is a sign of life.
  void Take(const v1::Relay& relay);
  void AddDescriptors(std::vector<pollfd>* fds) const;
  // Moves what can be moved, tells who has ended.
  void Turn();
  size_t num_ranks() const { return ranks_.size(); }

 private:
  struct Rank {
    ChildProcess process;
    FileDescriptor channel;  // this worker's end
    std::string to_rank;     // not yet taken by the socket
  };

  void Start(const v1::StartRank& start);
  StatusOr<Rank> Spawn(const v1::StartRank& start, const std::string& plan_path) const;
  void Refuse(int rank, const Status& why) const;
  void Write(Rank* rank) const;
  void Read(int number, Rank* rank) const;
  void SendBytes(int rank, std::string_view data) const;

  const RankHostOptions options_;
  std::map<int, Rank> ranks_;
};

}  // namespace anamnesis::agent
