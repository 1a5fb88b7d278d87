// SPDX-License-Identifier: Apache-2.0
// Reads a shard set (docs/formats/shards.md): manifest, phrase table, and subjects by index. Every
// block's checksum is verified before use; a flipped bit, a truncated or a missing file is
// kDataLoss and names the file.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::shard {

// The time of an event without one (demographics); sorts before every real time.
inline constexpr int64_t kStatic = std::numeric_limits<int64_t>::min();

enum class PhraseKind : uint8_t {
  kText = 0,          // rendered text
  kSilent = 1,        // an event that renders to nothing (<start>, <end>, <unknown>, MEDS_BIRTH)
  kTimeInterval = 2,  // a <time_interval_…> token of the seed layout
};

struct Phrase {
  std::string text{};  // UTF-8; empty exactly when silent
  PhraseKind kind = PhraseKind::kText;
};

struct Event {
  uint32_t phrase = 0;        // index into the phrase table
  int64_t time_us = kStatic;  // microseconds since 1970 UTC
};

struct Subject {
  int64_t subject_id = 0;
  bool is_case = false;
  std::string site{};  // "" for controls
  std::optional<int64_t>
      cancer_time_us{};          // 00:00 UTC of cancerdate; absent when missing or unreadable
  bool bad_cancer_date = false;  // a date was given but could not be read
  std::vector<Event> events{};   // in input order
};

struct SplitSummary {
  std::string name{};  // train, tuning, held_out
  uint64_t num_subjects = 0;
  uint64_t num_events = 0;
};

class ShardSet {
 public:
  // Reads and checks the manifest and the phrase table. Does not touch shard files of splits that
  // are not read.
  static StatusOr<std::unique_ptr<ShardSet>> Open(const std::string& directory);
  virtual ~ShardSet() = default;

  virtual const std::string& directory() const = 0;
  virtual const std::string& manifest_sha256() const = 0;
  virtual const std::vector<Phrase>& phrases() const = 0;
  virtual const std::vector<SplitSummary>& splits() const = 0;
  // kInvalidArgument when the split is not in this set.
  virtual StatusOr<SplitSummary> Split(const std::string& split) const = 0;
  // Subject `index` of the split, 0 ≤ index < num_subjects, in shard order. Keeps one decompressed
  // block. Thread-compatible.
  virtual Status Read(const std::string& split, uint64_t index, Subject* subject) = 0;
  // Checks the size and SHA-256 of every file of the given splits against the manifest.
  virtual Status Verify(const std::vector<std::string>& splits) const = 0;
};

}  // namespace anamnesis::shard
