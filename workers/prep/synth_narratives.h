// SPDX-License-Identifier: Apache-2.0
// The narratives of a cohort on disk as training sees them: read, rendered and cut by the product's
// own code. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/prep/cohort.h"
#include "workers/stream/narrative.h"

namespace anamnesis::prep {

inline constexpr int kSynthCutoffMonths = 1;  // data.cutoff_months that the numbers are for

class SynthNarratives {
 public:
  // `directory`: in the seed layout.
  static StatusOr<std::unique_ptr<SynthNarratives>> Open(const std::string& directory);

  const std::vector<shard::Phrase>& phrases() const { return cohort_->phrases(); }
  const std::string& separator() const { return rule_.separator(); }
  std::string Text(const stream::Narrative& narrative) const {
    return rule_.Text(narrative, cohort_->phrases());
  }

  StatusOr<std::vector<InputFile>> Files(const std::string& split) const;

  // In input order, one pickle in memory at a time.
  using Sink = std::function<Status(const stream::Narrative& narrative)>;
  Status ReadFile(const InputFile& file, const Sink& sink);
  Status ReadSplit(const std::string& split, const Sink& sink);

 private:
  std::unique_ptr<Cohort> cohort_;
  stream::NarrativeRule rule_;
  stream::Narrative narrative_;
};

}  // namespace anamnesis::prep
