// SPDX-License-Identifier: Apache-2.0
// RemoteRanks: the ranks that other nodes' workers run for this gang. Each looks to the gang like a
// process with a channel; a thread carries the channel's bytes, starts, kills and ends to and fro
// by the session's relays. Lives as long as the worker, over all its epochs; all functions are
// thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "common/base/clock.h"
#include "workers/agent/relay_inbox.h"
#include "workers/gang/gang.h"

namespace anamnesis::agent {

class RemoteRank;  // the state that the gang's end and the thread share

struct RemoteRanksOptions {
  int32_t ranks_per_node = 1;
  // To the worker of that node.
  std::function<void(int32_t node, v1::Relay relay)> send;
  std::function<void()> on_node_leaves;
  int64_t threads = 1;
  // Nothing was heard of a node for so long: it, or the way to it, is away. Above the interval of
  // the session's heartbeats.
  absl::Duration patience = absl::Seconds(5);
  // For a kill to be confirmed: then its node is away, and its rank can write nothing that counts.
  absl::Duration kill_patience = absl::Seconds(10);
  const Clock* clock = &Clock::System();
};

class RemoteRanks final : public gang::RankStarter {
 public:
  RemoteRanks(RemoteRanksOptions options, RelayInbox& inbox);
  ~RemoteRanks() override;

  // Of a rank: nullptr where it runs on this node.
  gang::RankStarter* StarterOf(int64_t rank) {
    return rank < options_.ranks_per_node ? nullptr : this;
  }
  StatusOr<gang::RankLink> Start(int rank, const SpawnOptions& options,
                                 absl::Duration now) override;

 private:
  friend class RemoteRankProcess;
  void Run();
  void Turn();
  void TakeInbox();
  void Serve(RemoteRank* rank, bool readable);
  void SendStart(const RemoteRank& rank, const std::string& plan_path, bool rejoin);
  void SendEnd(int rank, bool kill);
  int32_t NodeOf(int rank) const { return rank / options_.ranks_per_node; }
  bool IsReachable(int rank);

  const RemoteRanksOptions options_;
  RelayInbox& inbox_;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<RemoteRank>> ranks_;
  std::map<int32_t, absl::Duration> heard_;  // by node, of those that are ready
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace anamnesis::agent
