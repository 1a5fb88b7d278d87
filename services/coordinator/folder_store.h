// SPDX-License-Identifier: Apache-2.0
// Checkpoints of nodes whose output folder is their own (`up --checkpoints upload`): they are kept
// in the job's output folder on this machine. A folder comes as `.upload-EPOCH-NAME`, is verified
// against its manifest, and becomes visible under its name once its commit is granted.
// docs/formats/checkpoint.md, Uploads.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "anamnesis/v1/worker_service.pb.h"
#include "common/base/sha256.h"
#include "common/io/file.h"

namespace anamnesis::coordinator {

// One folder on its way in. Thread-compatible.
class IncomingFolder {
 public:
  // kInvalidArgument: the head names no folder of a run.
  static StatusOr<IncomingFolder> Open(const std::string& output_directory, int64_t epoch,
                                       const v1::FolderHead& head);
  // kInvalidArgument: a name that leads out of the folder; kResourceExhausted: the disk is full.
  Status Add(const v1::FilePart& part);
  // All files are durable, and are those that the manifest names. kDataLoss says which is not.
  Status Finish();

 private:
  IncomingFolder(std::string folder, v1::FolderHead head)
      : folder_(std::move(folder)), head_(std::move(head)) {}
  Status CloseFile();

  std::string folder_;
  v1::FolderHead head_;
  std::string name_;  // of the open file
  FileDescriptor file_;
  std::unique_ptr<Sha256> digest_;
  std::map<std::string, std::string> digests_;  // of the files that are complete
};

// Makes what came visible under its name. OK again once it is. kFailedPrecondition: it never came.
Status PublishIncoming(const std::string& output_directory, int64_t epoch, const std::string& name);

// The checkpoints of an output folder, the oldest first, as messages of at most 1 MiB. `send`
// returns false when nobody takes them any more.
Status SendCheckpoints(const std::string& output_directory,
                       const std::function<bool(const v1::GetCheckpointResponse&)>& send);

}  // namespace anamnesis::coordinator
