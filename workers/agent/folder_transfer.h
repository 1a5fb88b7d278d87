// SPDX-License-Identifier: Apache-2.0
// Checkpoints between a node whose output folder is its own and the coordinator's machine
// (docs/formats/checkpoint.md, Uploads). Each call takes as long as the folder does; a coordinator
// that is away is waited for. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "anamnesis/v1/worker_service.grpc.pb.h"
#include "common/base/status.h"
#include "workers/agent/checkpoint_store.h"
#include "workers/agent/session.h"

namespace anamnesis::agent {

class FolderTransfer : public CheckpointStore {
 public:
  explicit FolderTransfer(const SessionOptions& session);

  Status Put(const StagedFolder& folder) override;
  // The coordinator removes it with the commit.
  Status RemoveOld(const StagedFolder&) override { return absl::OkStatus(); }
  Status Get(const v1::Grant& grant, const std::string& output_directory) override;
  void Cancel(bool cancelled) override { cancelled_ = cancelled; }

 private:
  Status PutOnce(const v1::PutFolderHead& head, const std::string& staging);
  Status GetOnce(const v1::GetCheckpointRequest& request, const std::string& output_directory);
  template <typename Call>
  Status Persist(Call call);
  v1::WorkerIdentity Identity(int64_t epoch) const;

  const std::string job_id_, token_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace anamnesis::agent
