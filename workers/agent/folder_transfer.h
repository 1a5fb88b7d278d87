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
#include "workers/agent/session.h"

namespace anamnesis::agent {

class FolderTransfer {
 public:
  explicit FolderTransfer(const SessionOptions& session);

  // Sends a staged folder under `name`. kAborted: the epoch is over.
  Status Put(int64_t epoch, const std::string& output_directory, const std::string& name,
             const std::string& manifest_sha256, bool whole_model);
  // Brings the checkpoints and the run's record that the output folder lacks; leaves it alone when
  // it has the checkpoint of `committed_step` already, or none was committed (0). kAlreadyExists:
  // the folder holds something that is not this run's.
  Status Get(int64_t epoch, const std::string& output_directory, int64_t committed_step,
             const std::string& run_id);
  // Ends what is under way, and what comes until it is taken back; from another thread.
  void Cancel(bool cancelled) { cancelled_ = cancelled; }

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
