// SPDX-License-Identifier: Apache-2.0
// A worker for tests: forks ranks, serves their rendezvous over the real channel protocol, grants
// every commit.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "workers/contract/channel.h"

namespace anamnesis {

// Serves rendezvous keys to the ranks until all of them have ended.
class FakeWorker {
 public:
  // Runs in the child; `fd` is the rank's end of its channel.
  using RankMain = std::function<int(int rank, int fd)>;

  FakeWorker(int num_ranks, const RankMain& rank_main) {
    for (int rank = 0; rank < num_ranks; ++rank) Start(rank, rank_main);
  }

  // Until every rank has ended; returns exit codes, or -signal.
  std::vector<int> Serve(const std::function<void(int rank, const Json&)>& on_message = {}) {
    for (size_t open = links_.size(); open > 0;) {
      std::vector<pollfd> polls;
      for (const int fd : links_) polls.push_back({fd, POLLIN, 0});
      poll(polls.data(), polls.size(), -1);
      for (size_t rank = 0; rank < polls.size(); ++rank) {
        if (polls[rank].revents == 0) continue;
        const StatusOr<Json> message = contract::ReadFrame(links_[rank]);
        if (!message.ok()) {
          close(links_[rank]);
          links_[rank] = -1;  // poll ignores it
          --open;
        } else {
          Handle(static_cast<int>(rank), *message, on_message);
        }
      }
    }
    std::vector<int> codes;
    for (const pid_t pid : pids_) {
      int status = 0;
      waitpid(pid, &status, 0);
      codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    }
    return codes;
  }

  void Send(int rank, const Json& message) {
    contract::WriteFrame(links_[rank], message).IgnoreError();
  }

  void Kill(int rank) { kill(pids_[rank], SIGKILL); }
  void HangUp(int rank) { shutdown(links_[rank], SHUT_WR); }

 private:
  void Start(int rank, const RankMain& rank_main) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      for (const int fd : links_) close(fd);
      close(ends[0]);
      int code = 1;
      try {
        code = rank_main(rank, ends[1]);
      } catch (const std::exception&) {
        code = 99;
      }
      _exit(code);
    }
    close(ends[1]);
    pids_.push_back(pid);
    links_.push_back(ends[0]);
  }

  void Handle(int rank, const Json& message, const std::function<void(int, const Json&)>& other) {
    const std::string kind = message["kind"];
    if (kind == "store_set") {
      values_[message["key"]] = message["value"];
    } else if (kind == "store_get" || kind == "store_wait") {
      waiting_.push_back({rank, message});
    } else if (kind == "commit") {
      Send(
          rank,
          {{"kind", "commit_reply"}, {"step", message["step"]}, {"granted", true}, {"reason", ""}});
    }
    if (other) other(rank, message);
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      it = Answer(it->first, it->second) ? waiting_.erase(it) : it + 1;
    }
  }

  bool Answer(int rank, const Json& request) {
    Json reply = {{"kind", "store_reply"}, {"id", request["id"]}, {"ok", true}, {"value", ""}};
    if (request["kind"] == "store_get") {
      if (!values_.contains(request["key"])) return false;
      reply["value"] = values_[request["key"]];
    } else {
      for (const Json& key : request["keys"]) {
        if (!values_.contains(key)) return false;
      }
    }
    Send(rank, reply);
    return true;
  }

  std::vector<pid_t> pids_;
  std::vector<int> links_;
  std::map<std::string, std::string> values_;
  std::vector<std::pair<int, Json>> waiting_;
};

}  // namespace anamnesis
