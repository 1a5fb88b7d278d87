// SPDX-License-Identifier: Apache-2.0
// The cache layout of huggingface_hub, shared with it:
//   models--ORG--NAME/refs/REVISION               the commit that a branch or tag means
//   models--ORG--NAME/blobs/ETAG                  contents
//   models--ORG--NAME/snapshots/COMMIT/FILE       a relative link to a blob
// Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::hub {

// NAME or ORG/NAME of letters, digits, '-', '_' and '.', without "--" and "..".
bool IsModelId(const std::string& model);

// A branch, tag or commit that is safe as a path below refs/ and in a URL.
bool IsRevision(const std::string& revision);

struct ModelCache {
  ModelCache(const std::string& cache, const std::string& model);

  std::string folder;  // models--ORG--NAME
  std::string refs() const { return folder + "/refs"; }
  std::string blobs() const { return folder + "/blobs"; }
  std::string snapshots() const { return folder + "/snapshots"; }

  // The snapshot of a revision that has a configuration and all its weights; nothing where the
  // cache has none.
  StatusOr<std::optional<std::string>> FindSnapshot(const std::string& revision) const;
};

// Whether a directory holds a configuration (of a model or of an adapter) and its weights, with
// every shard that an index names.
StatusOr<bool> IsWholeModel(const std::string& directory);

// The files that an index (…index.json) names, each a plain name in its folder. kInvalidArgument
// for anything else; `source` names the index.
StatusOr<std::vector<std::string>> ShardsOfIndex(const std::string& index_json,
                                                 const std::string& source);

}  // namespace anamnesis::hub
