// SPDX-License-Identifier: Apache-2.0
// Writes a synthetic cohort as files of the seed layout: pickles by split, vocabulary, labels and
// lookups. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/base/status.h"
#include "workers/prep/synth_world.h"

namespace anamnesis::prep {

struct SynthSplit {
  uint64_t num_subjects = 0;
  uint64_t num_cases = 0;
  uint64_t num_events = 0;
  double log_probability = 0;  // Σ synth::LogProbability, nats
  uint64_t num_phrases = 0;    // Σ SynthSubject::num_visible_phrases
};

// By split name. The subjects are drawn twice, once for the counts of the vocabulary, so that
// memory stays that of one pickle (1,000 subjects). `directory` exists. The errors of common/io.
StatusOr<std::map<std::string, SynthSplit>> WriteSynthCohort(const SynthWorld& world,
                                                             uint64_t num_subjects, uint64_t seed,
                                                             const std::string& directory);

}  // namespace anamnesis::prep
