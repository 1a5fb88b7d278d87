// SPDX-License-Identifier: Apache-2.0
// UploadCommits: a commit of a node whose output folder is its own: the staged folder goes to the
// coordinator's machine first, then the coordinator is asked. One thread; training goes on
// meanwhile.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "workers/agent/folder_transfer.h"
#include "workers/agent/session.h"

namespace anamnesis::agent {

class UploadCommits {
 public:
  UploadCommits(std::string output_directory, bool whole_model, FolderTransfer& transfer,
                Session& session);
  ~UploadCommits();  // what is under way is given up

  // As Session::AskCommit. A folder that cannot be sent is answered as not granted.
  void Ask(const CommitQuestion& question, Session::OnCommitAnswer answer);
  // Why the first of them could not be sent.
  Status failure() const;

 private:
  struct Item {
    CommitQuestion question;
    Session::OnCommitAnswer answer;
  };
  void Run();

  const std::string output_directory_;
  const bool whole_model_;
  FolderTransfer& transfer_;
  Session& session_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  Status failure_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace anamnesis::agent
