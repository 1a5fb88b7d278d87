// SPDX-License-Identifier: Apache-2.0
// The temporal cutoff: which events of a subject a model may see. An event stays when it is static
// (shard::kStatic) or lies before
//   cutoff = 00:00 UTC of cancerdate − cutoff_months      (calendar months, day clamped)
// for cases, and, under apply_to: all, before
//   cutoff = time of the last event − cutoff_months
// for controls. boundary: exclusive keeps time < cutoff, inclusive keeps time ≤ cutoff. A value
// type; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "workers/shard/reader.h"
#include "workers/stream/stream_spec.h"

namespace anamnesis::stream {

// The rule applied to one subject.
struct SubjectCut {
  bool drop_subject = false;       // on_missing_date: drop
  std::optional<int64_t> time_us;  // nothing: no event is cut
};

class CutoffRule {
 public:
  // kInvalidArgument names the key whose value is not one of those above.
  static StatusOr<CutoffRule> FromSpec(const StreamSpec& spec);

  // kInvalidArgument for a case without a readable date under on_missing_date: error; the text
  // names the subject by split and index.
  StatusOr<SubjectCut> CutOf(const shard::Subject& subject, const std::string& split,
                             uint64_t subject_index) const;
  bool Keeps(const SubjectCut& cut, const shard::Event& event) const;

 private:
  enum class MissingDate { kError, kKeep, kDrop };

  int cutoff_months_ = 0;
  bool cut_controls_ = false;
  bool inclusive_ = false;
  MissingDate missing_date_ = MissingDate::kError;
};

}  // namespace anamnesis::stream
