// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/upload_commits.h"

#include <pthread.h>

#include <cstdio>
#include <utility>

namespace anamnesis::agent {

UploadCommits::UploadCommits(std::string output_directory, bool whole_model, CheckpointStore& store,
                             Session& session)
    : output_directory_(std::move(output_directory)),
      whole_model_(whole_model),
      store_(store),
      session_(session) {
  thread_ = std::thread([this] { Run(); });
  ::pthread_setname_np(thread_.native_handle(), "uploads");
}

UploadCommits::~UploadCommits() {
  {
    const std::lock_guard<std::mutex> lock(queue_->mutex);
    queue_->closing = true;
    if (queue_->sending) store_.Cancel(true);
    queue_->changed.notify_all();
  }
  thread_.join();
  store_.Cancel(false);
}

void UploadCommits::Ask(const CommitQuestion& question, Session::OnCommitAnswer answer) {
  Item item{.folder = {.epoch = question.epoch,
                       .output_directory = output_directory_,
                       .name = question.name,
                       .manifest_sha256 = question.sha256,
                       .whole_model = whole_model_},
            .question = question,
            .answer = std::move(answer)};
  const std::lock_guard<std::mutex> lock(queue_->mutex);
  queue_->items.push_back(std::move(item));
  queue_->changed.notify_all();
}

Status UploadCommits::failure() const {
  const std::lock_guard<std::mutex> lock(queue_->mutex);
  return queue_->failure;
}

void UploadCommits::Run() {
  bool removes = true;
  for (;;) {
    Item item;
    {
      std::unique_lock<std::mutex> lock(queue_->mutex);
      queue_->sending = false;
      queue_->changed.wait(lock, [&] { return queue_->closing || !queue_->items.empty(); });
      if (queue_->items.empty()) return;
      item = std::move(queue_->items.front());
      queue_->items.pop_front();
      if (queue_->closing && !(item.is_granted && removes)) continue;
      queue_->sending = !item.is_granted;
    }
    if (!item.is_granted) {
      Send(std::move(item));
    } else if (const Status removed = store_.RemoveOld(item.folder); !removed.ok()) {
      removes = false;  // an end is not held up by a store that is away
      std::fprintf(stderr, "older checkpoints stay for now: %s\n", MessageOf(removed).c_str());
    }
  }
}

void UploadCommits::Send(Item item) {
  const Status sent = store_.Put(item.folder);
  if (sent.ok()) {
    session_.AskCommit(item.question,
                       [queue = queue_, folder = item.folder, answer = std::move(item.answer)](
                           bool granted, const std::string& reason) {
                         if (granted) {
                           const std::lock_guard<std::mutex> lock(queue->mutex);
                           queue->items.push_back({.folder = folder, .is_granted = true});
                           queue->changed.notify_all();
                         }
                         answer(granted, reason);
                       });
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(queue_->mutex);
    if (queue_->closing) return;
    if (queue_->failure.ok()) queue_->failure = sent;
  }
  item.answer(false, MessageOf(sent));
}

}  // namespace anamnesis::agent
