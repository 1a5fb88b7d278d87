// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/checkpoint_store.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "common/io/file.h"
#include "common/process/identity.h"
#include "workers/agent/attempts.h"
#include "workers/agent/output_directory.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::agent {

std::string StagedFolder::path() const {
  return Cat(output_directory, "/", checkpoint::kStagingPrefix, epoch, "-", name);
}

bool HasOwnFolders(const v1::Grant& grant) {
  return grant.upload_checkpoints() || !grant.checkpoint_store().empty();
}

StatusOr<bool> HasCommitted(const v1::Grant& grant, const std::string& output_directory) {
  ANAM_ASSIGN_OR_RETURN(const OutputState state, LookAtOutput(output_directory));
  bool is_free = state == OutputState::kEmpty;
  if (state == OutputState::kOurs) {
    ANAM_ASSIGN_OR_RETURN(const RunRecord record,
                          ReadRunRecord(Cat(output_directory, "/", kMarker)));
    is_free = record.run_id == grant.run_id();
  }
  if (!is_free) {
    return AlreadyExists(output_directory, ": holds something else on this node (", HostName(),
                         "); move it away, the run's checkpoints are to come there");
  }
  const std::string newest = Cat(output_directory, "/checkpoint-", grant.committed_step());
  const StatusOr<checkpoint::Manifest> manifest = checkpoint::ReadManifest(newest);
  if (!manifest.ok() || !checkpoint::VerifyFiles(newest, *manifest).ok()) return false;
  const StatusOr<std::string> sha256 = FileSha256(Cat(newest, "/", checkpoint::kManifestName));
  return sha256.ok() && *sha256 == grant.committed_sha256();
}

Status TakeArrived(const std::string& arrived, const std::string& output_directory,
                   const std::string& name, const std::string& sha256) {
  if (!sha256.empty()) {
    const StatusOr<std::string> found = FileSha256(Cat(arrived, "/", checkpoint::kManifestName));
    if (!found.ok() || *found != sha256) {
      return DataLoss(name, ": its manifest is not the one that was committed");
    }
  }
  ANAM_ASSIGN_OR_RETURN(const checkpoint::Manifest manifest, checkpoint::ReadManifest(arrived));
  ANAM_RETURN_IF_ERROR(checkpoint::VerifyFiles(arrived, manifest));
  ANAM_RETURN_IF_ERROR(SyncDirectory(arrived));
  const std::string place = Cat(output_directory, "/", name);
  std::error_code error;
  std::filesystem::remove_all(place, error);  // damaged: else it would not have been asked for
  if (std::rename(arrived.c_str(), place.c_str()) != 0) {
    return Internal(arrived, ": cannot be renamed to ", place, ": ", ErrnoText(errno));
  }
  return SyncDirectory(output_directory);
}

}  // namespace anamnesis::agent
