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

inline constexpr const char* kManifestName = "manifest.json";

struct ManifestFile {
  std::string name = "";  // within the directory
  uint64_t size_bytes = 0;
  std::string sha256 = "";
};

struct Cursor {
  uint64_t seed = 0;
  int64_t epoch = 0;          // 0-based; of the next step
  int64_t step = 0;           // steps done over the whole run
  int64_t step_in_epoch = 0;  // steps done in `epoch`
};

struct Platform {
  std::string cpu;       // model name
  std::string isa;       // instruction set that the kernels use, "avx512", …
  std::string libtorch;  // version
  int64_t threads = 1;   // of each rank
  int64_t num_ranks = 1;
};

struct Manifest {
  int64_t version = 1;
  std::string kind = "checkpoint";  // checkpoint | final_model
  std::string task;
  std::string run_id;
  uint64_t attempt = 1;        // the gang's epoch
  Json spec = Json::object();  // every configuration key with its value
  std::string spec_sha256;     // of the canonical text of `spec`
  std::string spec_yaml_sha256;
  std::string model_name;
  std::string model_sha256;
  std::string tokenizer_sha256;
  std::string shards_manifest_sha256;
  std::string subject_hashes_sha256;
  int64_t cutoff_months = 0;
  std::vector<std::string> splits_read;
  Json stream = Json::object();  // stream::StreamSpec
  std::string stream_digest;
  Cursor cursor;
  int64_t lanes = 0;
  std::string engine;
  std::string determinism;
  Platform platform;
  std::string bits_not_guaranteed;  // why a resumed run may differ in bits from an unbroken one; ""
                                    // when it may not
  int64_t steps_executed = 0;       // over all attempts
  int64_t tokens_trained = 0;       // by the steps that count
  std::vector<ManifestFile> files;  // sorted by name, without manifest.json
};

Json ToJson(const Manifest& manifest);
// kDataLoss names the key; an unknown version or key is refused.
StatusOr<Manifest> ManifestFromJson(const Json& json, const std::string& source);

// The digest that `spec_sha256` holds.
std::string SpecDigest(const Json& spec);
// The dotted keys in which two resolved specs differ, sorted; a key that only one of them has
// counts.
std::vector<std::string> ChangedSpecKeys(const Json& before, const Json& after);

StatusOr<ManifestFile> DescribeFile(const std::string& directory, const std::string& name);
StatusOr<Manifest> ReadManifest(const std::string& directory);
// Size and SHA-256 of every listed file; kDataLoss names the first that differs.
Status VerifyFiles(const Manifest& manifest, const std::string& directory);

struct FoundCheckpoint {
  std::string directory;  // "" when there is none
  Manifest manifest;
  std::vector<std::string> skipped;  // newer checkpoint-N that do not verify, a line each
};

// The newest checkpoint-N of an output directory whose manifest and files verify.
StatusOr<FoundCheckpoint> FindLatest(const std::string& output_directory);

}  // namespace anamnesis::checkpoint
