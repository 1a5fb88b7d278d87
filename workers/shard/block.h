// SPDX-License-Identifier: Apache-2.0
// Blocks of subjects (docs/formats/shards.md): the columns of some subjects as one payload, and a
// subject out of it. Thread-compatible. Errors: kDataLoss where a payload does not hold together.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "workers/shard/reader.h"

namespace anamnesis::shard {

// A block is closed once it holds this many events.
inline constexpr uint64_t kEventsPerBlock = 16'384;

// Collects subjects and encodes them. `sites` maps a site's name to its position in the manifest's
// list.
class BlockBuilder {
 public:
  explicit BlockBuilder(const std::map<std::string, uint32_t>& sites) : sites_(sites) {}

  // kInternal for a site that is not in the map.
  Status Add(Subject subject);
  uint64_t num_subjects() const { return subjects_.size(); }
  uint64_t num_events() const { return num_events_; }
  // The payload; the builder is empty afterwards.
  std::string Finish();

 private:
  const std::map<std::string, uint32_t>& sites_;
  std::vector<Subject> subjects_;
  uint64_t num_events_ = 0;
};

// A decoded directory over a payload that it owns.
class Block {
 public:
  // `num_phrases` bounds the ids, `sites` names the sites.
  static StatusOr<Block> Parse(std::string payload, uint64_t num_phrases,
                               const std::vector<std::string>* sites);

  uint64_t num_subjects() const { return entries_.size(); }
  Status Read(uint64_t index, Subject* subject) const;

 private:
  struct Entry {
    int64_t subject_id = 0;
    uint8_t flags = 0;
    uint64_t site = 0;
    int64_t cancer_time_us = 0;
    uint64_t num_events = 0;
    uint64_t phrases_begin = 0, phrases_bytes = 0;  // in the payload
    uint64_t times_begin = 0, times_bytes = 0;
  };
  std::string payload_;
  std::vector<Entry> entries_;
  uint64_t unit_us_ = 1;
  uint64_t num_phrases_ = 0;
  const std::vector<std::string>* sites_ = nullptr;
};

}  // namespace anamnesis::shard
