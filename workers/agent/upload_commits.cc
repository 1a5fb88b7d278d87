// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/upload_commits.h"

#include <pthread.h>

#include <utility>

namespace anamnesis::agent {

UploadCommits::UploadCommits(std::string output_directory, bool whole_model,
                             FolderTransfer& transfer, Session& session)
    : output_directory_(std::move(output_directory)),
      whole_model_(whole_model),
      transfer_(transfer),
      session_(session) {
  thread_ = std::thread([this] { Run(); });
  ::pthread_setname_np(thread_.native_handle(), "uploads");
}

UploadCommits::~UploadCommits() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  transfer_.Cancel(true);
  changed_.notify_all();
  thread_.join();
  transfer_.Cancel(false);
}

void UploadCommits::Ask(const CommitQuestion& question, Session::OnCommitAnswer answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  items_.push_back({question, std::move(answer)});
  changed_.notify_all();
}

Status UploadCommits::failure() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

void UploadCommits::Run() {
  for (;;) {
    Item item;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return closing_ || !items_.empty(); });
      if (closing_) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    const CommitQuestion& question = item.question;
    const Status sent = transfer_.Put(question.epoch, output_directory_, question.name,
                                      question.sha256, whole_model_);
    if (sent.ok()) {
      session_.AskCommit(question, std::move(item.answer));
      continue;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (closing_) return;
      if (failure_.ok()) failure_ = sent;
    }
    item.answer(false, MessageOf(sent));
  }
}

}  // namespace anamnesis::agent
