// SPDX-License-Identifier: Apache-2.0
// The cache of shard sets under a data directory.
#include <cstdio>
#include <filesystem>

#include "common/io/file.h"
#include "common/io/lock.h"
#include "workers/prep/identity.h"
#include "workers/prep/prepare.h"

namespace anamnesis::prep {
namespace {

// Preparing a large cohort takes minutes; a second job of the same data waits for the first.
constexpr absl::Duration kLockPatience = absl::Minutes(60);

WorkProgress Within(const OnPrepPhase& on_phase, const char* phase) {
  if (!on_phase) return {};
  return [on_phase, phase](uint64_t done, uint64_t total) { on_phase(phase, done, total); };
}

}  // namespace

StatusOr<std::string> EnsureShards(const config::DataSection& data,
                                   const std::vector<std::string>& splits,
                                   const std::string& data_dir, int jobs,
                                   const OnPrepPhase& on_phase, bool unlabelled) {
  ANAM_RETURN_IF_ERROR(CheckBuilt(data));
  ANAM_ASSIGN_OR_RETURN(const std::string digest,
                        InputDigest(data, splits, Within(on_phase, "inputs"), unlabelled));
  const std::string root = Cat(data_dir, "/shards");
  const std::string directory = Cat(root, "/", digest);
  ANAM_RETURN_IF_ERROR(MakeDirectories(root));
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor lock,
                        LockPath(Cat(root, "/.", digest, ".lock"), kLockPatience));
  if (PathExists(directory)) {
    shard::Manifest manifest;
    const StatusOr<bool> intact = IsIntactSet(directory, digest, &manifest);
    if (intact.ok() && *intact) return directory;
    // The cache is ours and is made from the inputs: what is damaged is said, removed and made
    // again.
    std::fprintf(
        stderr, "shards are damaged and are made again: %s\n",
        intact.ok() ? "the manifest names other inputs" : MessageOf(intact.status()).c_str());
    std::error_code error;
    std::filesystem::remove_all(directory, error);
    if (error) return Internal(directory, ": cannot remove the damaged set: ", error.message());
  }
  ANAM_ASSIGN_OR_RETURN(const PrepareSummary summary,
                        Prepare(data, {.out = directory,
                                       .splits = splits,
                                       .jobs = jobs,
                                       .expected_digest = digest,
                                       .progress = Within(on_phase, "shards"),
                                       .unlabelled = unlabelled}));
  std::fputs(DescribeSummary(summary).c_str(), stderr);
  return directory;
}

}  // namespace anamnesis::prep
