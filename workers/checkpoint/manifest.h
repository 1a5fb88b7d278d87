// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint-N/ or final_model/ directory (docs/formats/checkpoint.md): what was
// trained from what, where it stopped, and the digest of every file. A checkpoint exists when its
// manifest does. No torch: the worker reads it too. Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/io/json.h"

namespace anamnesis::checkpoint {

inline constexpr char kManifestName[] = "manifest.json";
inline constexpr char kStagingPrefix[] = ".staging-";

struct FileEntry {
  std::string name = "";  // within the directory
  uint64_t size_bytes = 0;
  std::string sha256 = "";
};

// What decides bits besides the plan.
struct Environment {
  std::string cpu_model;
  std::string instruction_set;
  std::string torch_version;
  int threads = 1;  // of each rank
};

struct Manifest {
  int version = 1;
  std::string kind = "checkpoint";  // checkpoint | final_model
  std::string run_id;
  uint64_t attempt = 1;  // the gang's epoch
  std::string task;
  // The cursor.
  std::string stream_digest;
  uint64_t seed = 0;
  int64_t epoch = 0;          // 0-based; of the next step
  int64_t step_in_epoch = 0;  // steps done in `epoch`
  int64_t step = 0;           // steps done over the whole run
  int64_t total_steps = 0;
  int64_t steps_executed = 0;  // over all attempts, steps lost by a kill included
  int64_t tokens_trained = 0;  // by the steps that count
  std::string spec_yaml_sha256;
  Json resolved_spec = Json::object();  // every configuration key with its value
  Json stream = Json::object();         // stream::StreamSpec
  int64_t cutoff_months = 0;
  std::string base_model_name;
  std::string base_model_sha256;
  std::string tokenizer_sha256;
  std::string shards_manifest_sha256;
  std::string subject_hashes_sha256;
  std::vector<std::string> splits_read;
  std::string engine;
  std::string determinism;
  std::string dtype;
  int64_t lanes = 0;
  int64_t rows_per_step = 0;  // G
  int num_ranks = 1;
  Environment environment;
  std::string bits_not_guaranteed;  // why a resumed run may differ in bits from an unbroken one; ""
                                    // when it may not
  std::vector<FileEntry> files;     // sorted by name, without manifest.json
};

Json ToJson(const Manifest& manifest);
// What the file holds: indented JSON with sorted keys and a final newline.
std::string ManifestText(const Manifest& manifest);
// kDataLoss names the key; another version, an unknown or missing key is refused.
StatusOr<Manifest> ManifestFromJson(const Json& json, const std::string& source);

// kNotFound when the directory has no manifest, kDataLoss when it cannot be read.
StatusOr<Manifest> ReadManifest(const std::string& directory);
// Size and SHA-256 of every listed file; kDataLoss names the first that differs.
Status VerifyFiles(const std::string& directory, const Manifest& manifest);

// Where a finished run's model lies: an adapter in final_model/ with its manifest beside it; a
// whole model in the output folder itself, where its users' scripts look for it, with the manifest
// in .anamnesis/.
struct FinalModel {
  std::string directory;           // of the model's files
  std::string manifest_directory;  // of manifest.json
};
FinalModel FinalModelOf(const std::string& output_directory, bool whole);

struct CheckpointPath {
  int64_t step = 0;
  std::string path;
};
// The folders checkpoint-N of an output directory, by step; none when the directory is not there.
StatusOr<std::vector<CheckpointPath>> ListCheckpoints(const std::string& output_directory);

struct FoundCheckpoint {
  std::string directory;  // "" when there is none
  Manifest manifest;
  std::vector<std::string> skipped;  // newer checkpoint-N that do not verify, a line each
};
// The newest checkpoint-N whose manifest and files verify.
StatusOr<FoundCheckpoint> FindLatest(const std::string& output_directory);

// Removes what interrupted saves left behind (.staging-*). Only the holder of the output
// directory's lock may.
Status RemoveStaging(const std::string& output_directory);

// The dotted keys in which two resolved specs differ, sorted; a key that only one of them has
// counts.
std::vector<std::string> ChangedSpecKeys(const Json& before, const Json& after);

}  // namespace anamnesis::checkpoint
