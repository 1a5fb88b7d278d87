// SPDX-License-Identifier: Apache-2.0
// manifest.json of a shard set (docs/formats/shards.md). The text is canonical and carries its own
// SHA-256, so that any changed byte of it is found. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::shard {

inline constexpr int kFormatVersion = 1;
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kPhrasesFile[] = "phrases";
// The key of the subject hashes; fixed, so that sets can be compared (docs/formats/shards.md).
inline constexpr char kSubjectHashKey[] = "anamnesis-subject-v1";

struct FileRecord {
  std::string file{};  // name inside the set
  uint64_t bytes = 0;
  std::string sha256{};
};

struct ShardRecord : FileRecord {
  uint64_t subjects = 0;
  uint64_t events = 0;
};

struct InputRecord {
  std::string role{};  // vocab, labels, medical_lookup, lab_lookup, region_lookup, time_lookup,
                       // train, tuning, held_out
  std::string name{};
  uint64_t bytes = 0;
  std::string sha256{};
};

struct SplitRecord {
  std::string name{};
  uint64_t subjects = 0, events = 0, cases = 0;
  uint64_t static_events = 0;   // without a time
  uint64_t silent_events = 0;   // that render to nothing
  uint64_t unknown_events = 0;  // whose token no rule matched
  FileRecord subject_hashes{};
  std::vector<ShardRecord> shards{};
};

// How much of the events a lookup is for it has a term for; of all splits together.
struct LookupRecord {
  std::string role{};  // medical_lookup, lab_lookup, region_lookup, time_lookup
  uint64_t events = 0, translated = 0;
};

struct Manifest {
  std::string code_version{};
  std::string digest{};
  std::vector<InputRecord> inputs{};
  std::string profile{}, unknown_tokens{}, rule_table_sha256{}, rules_sha256{};
  FileRecord phrases{};
  uint64_t num_phrases = 0;
  std::vector<std::string> sites{};
  std::vector<SplitRecord> splits{};
  std::vector<LookupRecord> lookups{};  // that were asked; none in sets of older programs
};

// The bytes of manifest.json.
std::string ManifestText(const Manifest& manifest);

// kDataLoss for anything but the exact text of a manifest of this version; kUnimplemented for a
// newer version.
StatusOr<Manifest> ParseManifest(std::string_view text);

}  // namespace anamnesis::shard
