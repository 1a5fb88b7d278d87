// SPDX-License-Identifier: Apache-2.0
// One synthetic subject, and the exact numbers of the law it is drawn from. A subject is a pure
// function of (world, seed, index): no other subject and no thread changes it. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "workers/prep/synth_world.h"

namespace anamnesis::prep {

struct SynthEvent {
  uint32_t token = 0;  // position in SynthWorld::tokens()
  int64_t time_s = 0;  // seconds since 1970 UTC; 0 is static
};

struct SynthSubject {
  int64_t subject_id = 0;
  bool is_case = false;
  uint32_t site = 0;       // in synth::kSites; cases only
  int64_t cancer_day = 0;  // days since 1970; cases only
  // What was drawn.
  uint32_t age = 0, gender = 0, bmi = 0, lifestyle = 0;
  std::vector<uint32_t> states;  // of the chain
  uint32_t num_positive = 0;     // of synth::kNumReviews
  // What is written.
  std::vector<SynthEvent> events;
  uint32_t num_visible_phrases = 0;  // of the narrative before the cut of one month
};

SynthSubject DrawSubject(const SynthWorld& world, uint64_t seed, uint64_t index);

// "train", "tuning" or "held_out": of ten subjects in a row eight, one and one.
const char* SplitOfIndex(uint64_t index);

namespace synth {

// Natural logarithm of the probability that the generator writes this narrative (all that stands
// before the cut, and that nothing follows), summed over both classes:
//   log p = log p(header) + log p(length) + log 1/S + Σ log p(move) + log Σ_c p(c) Π p(review | c).
double LogProbability(const SynthWorld& world, const SynthSubject& subject);

// Nats per chain event: −Σ_k p_k log p_k (Cover and Thomas 2006, eq. 4.27 for a chain whose rows
// are permutations of each other).
double ChainEntropyRate();

// The expectation of −LogProbability.
double NarrativeEntropy(const SynthWorld& world);

// Area under the ROC curve of the best possible score, the number of positive reviews A of a case
// and B of a control: P(A > B) + P(A = B) / 2, both binomial.
double BestAuroc();

}  // namespace synth
}  // namespace anamnesis::prep
