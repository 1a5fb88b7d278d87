// SPDX-License-Identifier: Apache-2.0
// A subject's narrative: the phrases of its events after the cut, in input order. Shared by
// streaming and by `render`, so that what is printed is what is trained on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/shard/reader.h"
#include "workers/stream/cutoff.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::stream {

struct Narrative {
  std::vector<uint32_t> phrases;          // indices into the phrase table; none is silent
  uint64_t num_events = 0;                // of the subject, before the cut
  uint64_t num_cut_events = 0;            // removed by the cutoff; all of them when dropped
  bool dropped = false;                   // on_missing_date: drop
  int64_t last_time_us = shard::kStatic;  // of the latest event in `phrases`; kStatic: none has one
};

// What joins two phrases of a profile (seed: ", "). kUnimplemented for a profile that is not built
// yet.
StatusOr<std::string> SeparatorOf(const std::string& profile);

// Thread-safe: holds no state but the rule.
class NarrativeRule {
 public:
  // kInvalidArgument or kUnimplemented names the key. <time_interval_…> phrases are kept in
  // time_mode none; every other time mode drops them and makes the gaps anew after the cut, which
  // is not built yet and therefore refused here.
  static StatusOr<NarrativeRule> FromSpec(const StreamSpec& spec);

  const std::string& separator() const { return separator_; }

  // Overwrites `narrative`, whose memory is reused. Errors as CutoffRule::CutOf; kDataLoss for an
  // event that names a phrase outside the table.
  Status Apply(const shard::Subject& subject, const std::vector<shard::Phrase>& phrases,
               const std::string& split, uint64_t subject_index, Narrative* narrative) const;

  // The narrative as one text.
  std::string Text(const Narrative& narrative, const std::vector<shard::Phrase>& phrases) const;

 private:
  CutoffRule cutoff_;
  std::string separator_;
};

}  // namespace anamnesis::stream
