// SPDX-License-Identifier: Apache-2.0
// The world of synthetic cohorts: which tokens there are, how a subject's events follow each other,
// and what is known about it exactly. The same for every seed: two seeds are two samples of one
// world. All codes and terms are invented or plain English. Everything here is immutable after
// construction and thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::prep {

// How a value is written (docs/synth.md).
enum class SynthStyle { kReadme, kPairs, kValues };
StatusOr<SynthStyle> SynthStyleFromName(const std::string& name);
const char* NameOf(SynthStyle style);

namespace synth {

// Events form a random walk on a ring of states in a fixed random order: from any state, move k
// goes kMoveShifts[k] places on with probability kMovePercents[k] / 100. The walk is a first-order
// Markov chain whose stationary distribution is uniform; it starts there.
inline constexpr std::array<uint32_t, 4> kMoveShifts = {1, 7, 19, 43};
inline constexpr std::array<uint32_t, 4> kMovePercents = {60, 20, 15, 5};

// The number of chain events is uniform in [kMinChainEvents, kMinChainEvents + kNumLengths).
inline constexpr uint32_t kMinChainEvents = 24;
inline constexpr uint32_t kNumLengths = 17;

// Behind chain events 3, 6, …, 24 stands a review, which is positive with a probability that
// depends on nothing but the class: the planted signal.
inline constexpr uint32_t kNumReviews = 8;
inline constexpr uint32_t kReviewEvery = 3;
inline constexpr uint32_t kPositivePercentOfCase = 45;
inline constexpr uint32_t kPositivePercentOfControl = 20;
inline constexpr uint32_t kCaseOneIn = 3;  // a subject is a case with probability 1 / 3

inline constexpr uint32_t kNumAges = 6;  // deciles 3 to 8
inline constexpr uint32_t kFirstAgeDecile = 3;
inline constexpr uint32_t kNumGenders = 2;
inline constexpr uint32_t kNumBmis = 5;
inline constexpr uint32_t kNumLifestyles = 3;
inline constexpr uint32_t kNumMarkers = 3;
inline constexpr std::array<const char*, 3> kSites = {"bowel", "breast", "lung"};

static_assert(kNumReviews * kReviewEvery <= kMinChainEvents);

}  // namespace synth

// A code of a lookup table and its term.
using CodeTerm = std::pair<std::string, std::string>;

class SynthWorld {
 public:
  // Positions in tokens(): they are also the ids of these in vocab.csv.
  static constexpr uint32_t kUnknown = 0, kStart = 1, kEnd = 2;
  using Emission = std::vector<uint32_t>;  // positions in tokens(); each renders to a phrase

  explicit SynthWorld(SynthStyle style);

  SynthStyle style() const { return style_; }
  const std::vector<std::string>& tokens() const { return tokens_; }
  uint32_t birth_token() const { return birth_token_; }  // MEDS_BIRTH, renders to nothing
  const std::vector<CodeTerm>& medical_terms() const { return medical_terms_; }
  const std::vector<CodeTerm>& lab_terms() const { return lab_terms_; }

  uint32_t num_states() const { return static_cast<uint32_t>(states_.size()); }
  const Emission& state(uint32_t state) const { return states_[state]; }
  // The state that move `move` leads to.
  uint32_t Next(uint32_t state, uint32_t move) const;

  const Emission& age(uint32_t i) const { return ages_[i]; }
  const Emission& gender(uint32_t i) const { return genders_[i]; }
  const Emission& bmi(uint32_t i) const { return bmis_[i]; }
  const Emission& lifestyle(uint32_t i) const { return lifestyles_[i]; }
  const Emission& review(bool positive) const { return reviews_[positive ? 1 : 0]; }
  // What only cases have, and only from their cutoff on: seen in a narrative, it is a leak.
  const Emission& marker(uint32_t i) const { return markers_[i]; }

  const std::string& review_term(bool positive) const { return review_terms_[positive ? 1 : 0]; }
  const std::vector<std::string>& marker_terms() const { return marker_terms_; }

 private:
  uint32_t Token(const std::string& token);  // its position; added when new
  Emission Medical(const std::string& code, const std::string& term);
  void AddHeader();
  void AddStates();
  void AddReviewsAndMarkers();
  void ShuffleRing();

  SynthStyle style_;
  std::vector<std::string> tokens_;
  uint32_t birth_token_ = 0;
  std::vector<CodeTerm> medical_terms_, lab_terms_;
  std::vector<Emission> states_, ages_, genders_, bmis_, lifestyles_, markers_;
  std::array<Emission, 2> reviews_;
  std::array<std::string, 2> review_terms_;
  std::vector<std::string> marker_terms_;
  std::vector<uint32_t> ring_, place_;  // state at a place of the ring, and back
};

}  // namespace anamnesis::prep
