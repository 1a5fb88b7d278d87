// SPDX-License-Identifier: Apache-2.0
// CheckpointStore: where the checkpoints of nodes with output folders of their own are kept
// (docs/formats/checkpoint.md, Uploads): on the coordinator's machine (folder_transfer.h) or in an
// object store (object_transfer.h). A call takes as long as the folder does; a store that is away
// is waited for. One call at a time; Cancel from any thread.
#pragma once

#include <memory>
#include <string>

#include "anamnesis/v1/worker_service.pb.h"
#include "common/base/status.h"

namespace anamnesis::agent {

// What a rank has staged and wants to commit.
struct StagedFolder {
  int64_t epoch = 0;
  std::string output_directory;
  std::string name;  // checkpoint-STEP or final_model
  std::string manifest_sha256;
  bool whole_model = false;

  std::string path() const;
};

class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;

  // Sends the folder; called before its commit is asked for. kAborted: the epoch is over.
  virtual Status Put(const StagedFolder& folder) = 0;
  // Its commit is granted: what the node no longer keeps goes. A failure costs room alone.
  virtual Status RemoveOld(const StagedFolder& committed) = 0;
  // Brings the newest committed checkpoint and the run's record, unless the output folder has it.
  // kAlreadyExists: the folder, or the store's, holds something that is not this run's; kDataLoss:
  // what came is not what was committed.
  virtual Status Get(const v1::Grant& grant, const std::string& output_directory) = 0;
  // Ends what is under way, and what comes until it is taken back.
  virtual void Cancel(bool cancelled) = 0;
};

// Whether the output folder and the shards are this node's own.
bool HasOwnFolders(const v1::Grant& grant);

// Whether the output folder has the committed checkpoint whole. kAlreadyExists: it holds something
// that is not this run's.
StatusOr<bool> HasCommitted(const v1::Grant& grant, const std::string& output_directory);

// Makes what came into `arrived` the checkpoint `name`, once it proves to be whole; `sha256` of its
// manifest, "" for not known.
Status TakeArrived(const std::string& arrived, const std::string& output_directory,
                   const std::string& name, const std::string& sha256);

}  // namespace anamnesis::agent
