// SPDX-License-Identifier: Apache-2.0
// Downloads a model of the hub into the cache: the list of files of a revision, then the files that
// are needed, each checked against its size and, where the hub states one, its SHA-256. A download
// that was cut off goes on where it ended. What a revision means is noted last, so a snapshot that
// refs/ names is whole. Several processes may pull the same model. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/hub/settings.h"

namespace anamnesis::hub {

struct PullOptions {
  std::string model;  // ORG/NAME
  std::string revision = "main";
  HubSettings settings;
  // Told after each piece of a file; total is 0 while unknown. May be empty.
  std::function<void(const std::string& file, uint64_t done, uint64_t total)> progress;
  std::function<bool()> stop;                 // true ends the download with kAborted; may be empty
  std::function<void(absl::Duration)> sleep;  // between attempts; empty: really sleeps
};

struct Pulled {
  std::string directory;  // the snapshot
  std::string commit;
  std::vector<std::string> files;
  uint64_t fetched_bytes = 0;  // what was not in the cache before
};

// kUnauthenticated, kPermissionDenied: the hub wants a token or consent. kNotFound: no such model
// or revision. kInvalidArgument: not a model id, or a repository without a model.
// kFailedPrecondition: HF_HUB_OFFLINE. kDataLoss: a checksum that does not fit, twice.
// kUnavailable: the network, after five attempts. kAborted: stopped. Texts name the file and what
// to do.
StatusOr<Pulled> PullModel(const PullOptions& options);

// The files of a repository to fetch, by the names that it has: configuration, tokenizer, and one
// form of the weights (safetensors before .bin). Shards are not listed but their index is.
std::vector<std::string> NeededFiles(const std::vector<std::string>& names);

// The command that fetches the model on a machine that may.
std::string PullCommand(const std::string& model, const std::string& revision);

}  // namespace anamnesis::hub
