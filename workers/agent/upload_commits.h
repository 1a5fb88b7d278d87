// SPDX-License-Identifier: Apache-2.0
// UploadCommits: a commit of a node whose output folder is its own: the staged folder goes to the
// store of checkpoints first, then the coordinator is asked; once it has granted, the store removes
// what the node no longer keeps. One thread; training goes on meanwhile.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "workers/agent/checkpoint_store.h"
#include "workers/agent/session.h"

namespace anamnesis::agent {

class UploadCommits {
 public:
  UploadCommits(std::string output_directory, bool whole_model, CheckpointStore& store,
                Session& session);
  ~UploadCommits();  // a folder under way is given up

  // As Session::AskCommit. A folder that cannot be sent is answered as not granted.
  void Ask(const CommitQuestion& question, Session::OnCommitAnswer answer);
  // Why the first of them could not be sent.
  Status failure() const;

 private:
  struct Item {
    StagedFolder folder = {};
    CommitQuestion question = {};
    Session::OnCommitAnswer answer = {};
    bool is_granted = false;  // what is older goes
  };
  struct Queue {  // an answer may come after this object is gone
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Item> items;
    Status failure;
    bool closing = false, sending = false;
  };
  void Run();
  void Send(Item item);

  const std::string output_directory_;
  const bool whole_model_;
  CheckpointStore& store_;
  Session& session_;
  const std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  std::thread thread_;
};

}  // namespace anamnesis::agent
