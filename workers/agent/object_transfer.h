// SPDX-License-Identifier: Apache-2.0
// Checkpoints in an object store: STORE/NAME.EPOCH/, STORE being the grant's s3://…/jobs/ID. The
// program anamnesis-store carries them, a process for each folder: this one stays free of the
// store's library and of its threads.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "workers/agent/checkpoint_store.h"

namespace anamnesis::agent {

class ObjectTransfer : public CheckpointStore {
 public:
  struct Options {
    std::string program;                                   // anamnesis-store
    std::string store;                                     // s3://BUCKET/PREFIX/jobs/ID
    std::string log_path;                                  // of the last process
    absl::Duration first_pause = absl::Milliseconds(500);  // doubles up to longest_pause
    absl::Duration longest_pause = absl::Seconds(10);
    absl::Duration patience = absl::Hours(1);  // with a store that is away
  };
  explicit ObjectTransfer(Options options) : options_(std::move(options)) {}

  Status Put(const StagedFolder& folder) override;
  Status RemoveOld(const StagedFolder& committed) override;
  Status Get(const v1::Grant& grant, const std::string& output_directory) override;
  void Cancel(bool cancelled) override { cancelled_ = cancelled; }

 private:
  // Again while the store is away, `before` each time; what it printed.
  StatusOr<std::string> Persist(
      const std::vector<std::string>& arguments, const std::function<void()>& before = [] {});
  StatusOr<std::string> RunOnce(const std::vector<std::string>& arguments);
  // The folders of the store.
  StatusOr<std::vector<std::string>> List(bool persist);

  const Options options_;
  std::atomic<bool> cancelled_ = false;
};

// The folders of `stored` (NAME.EPOCH) that go once `committed` is: those of older checkpoints that
// the node does not keep, and what other epochs put under its name or for a later step.
std::vector<std::string> OldFolders(const std::vector<std::string>& stored,
                                    const std::vector<std::string>& kept,
                                    const StagedFolder& committed);

}  // namespace anamnesis::agent
