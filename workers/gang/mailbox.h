// SPDX-License-Identifier: Apache-2.0
// What other threads have to say to a gang's loop: late answers to commits, and interrupts.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/io/file.h"

namespace anamnesis::gang {

// May the staged folder of a step become visible under its name?
struct CommitRequest {
  int64_t step = 0;
  std::string name;    // checkpoint-STEP or final_model
  std::string sha256;  // of its manifest
};

struct CommitAnswer {
  bool granted = true;
  std::string reason;
};

// Thread-safe; outlives the gang.
class Mailbox {
 public:
  struct Answer {
    int rank = 0;
    int64_t step = 0;
    CommitAnswer answer = {};
  };
  struct Mail {
    std::vector<Answer> answers;
    int interrupts = 0;
    bool node_leaves = false;
  };

  static StatusOr<std::unique_ptr<Mailbox>> Create();

  void AnswerCommit(int rank, int64_t step, CommitAnswer answer);
  void Interrupt();   // as an interrupt of GangOptions::interrupt_fd
  void NodeLeaves();  // the worker of another node was told to end: the gang is to save and stop

  int fd() const { return event_.get(); }  // readable when something lies in the box
  Mail Take();

 private:
  explicit Mailbox(FileDescriptor event) : event_(std::move(event)) {}
  void Ring() const;

  const FileDescriptor event_;
  std::mutex mutex_;
  Mail mail_;
};

}  // namespace anamnesis::gang
