// SPDX-License-Identifier: Apache-2.0
// What the report of a classifier needs of a split's subjects beside their scores: which phrases a
// history has after the cut, its class, and what subjects are grouped by. One subject and one block
// of a shard are in memory at a time. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/base/status.h"
#include "workers/metrics/bag_of_codes.h"
#include "workers/shard/reader.h"
#include "workers/stream/narrative.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::train {

// Texts are "" where the data do not say.
struct CohortSubject {
  metrics::Bag bag;  // of phrases of the narrative after the cut; each with its count
  std::string site;  // of cases: from the labels file
  std::string sex;   // "FEMALE", "MALE", "F" or "M", as the first such event has it
  std::string age;   // "AGE_decile 5": the first event of that form
};

class CohortReader {
 public:
  // Errors of the shard set; kInvalidArgument for a spec that is not valid.
  static StatusOr<CohortReader> Open(const std::string& shards_directory,
                                     const stream::StreamSpec& spec);

  StatusOr<shard::SplitSummary> Split(const std::string& split) const {
    return shards_->Split(split);
  }
  // Every `stride`-th subject of the split, in split order, but for those that the cut drops: they
  // have no row either.
  Status ForEach(const std::string& split, uint64_t stride,
                 const std::function<Status(const CohortSubject&)>& visit) const;

 private:
  CohortReader(std::unique_ptr<shard::ShardSet> shards, stream::NarrativeRule rule,
               std::vector<std::string> class_sites)
      : shards_(std::move(shards)), rule_(std::move(rule)), class_sites_(std::move(class_sites)) {}

  std::unique_ptr<shard::ShardSet> shards_;
  stream::NarrativeRule rule_;
  std::vector<std::string> class_sites_;
};

}  // namespace anamnesis::train
