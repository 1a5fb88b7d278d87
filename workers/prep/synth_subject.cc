// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_subject.h"

#include <array>
#include <cmath>

#include "common/base/civil.h"
#include "common/base/philox.h"

namespace anamnesis::prep {
namespace {

using synth::kNumReviews;

constexpr int64_t kFirstSubjectId = 10'000'000;
constexpr int64_t kDaySeconds = 86'400;
constexpr int64_t kHourSeconds = 3'600;
constexpr int64_t kFirstStartDay = 9'131;  // 1 January 1995
constexpr uint64_t kNumStartDays = 7'305;  // twenty years
// From the last event before the cut to the anchor (a case's diagnosis, a control's end of
// observation): more than a month, so that the cut of one month takes none of them.
constexpr int64_t kMinAnchorDays = 33;
constexpr uint64_t kNumAnchorDays = 30;
constexpr uint64_t kNumDaysAfterAnchor = 30;

// Draws in a fixed order; a change of the order changes every cohort.
class Drawer {
 public:
  Drawer(const SynthWorld& world, uint64_t seed, uint64_t index)
      : world_(world), random_(seed, index) {
    subject_.subject_id = kFirstSubjectId + static_cast<int64_t>(index);
  }

  SynthSubject Draw() {
    subject_.is_case = Below(synth::kCaseOneIn) == 0;
    subject_.site = Below(synth::kSites.size());
    Header();
    Chain();
    const int64_t last_s = time_s_;
    const int64_t anchor_day =
        last_s / kDaySeconds + kMinAnchorDays + static_cast<int64_t>(random_.Below(kNumAnchorDays));
    if (subject_.is_case) {
      subject_.cancer_day = anchor_day;
      Markers(anchor_day);
    } else {
      // The end of observation: a control cut at its last event (data.apply_to: all) loses no text.
      time_s_ = anchor_day * kDaySeconds;
    }
    Emit({SynthWorld::kEnd}, time_s_);
    return std::move(subject_);
  }

 private:
  uint32_t Below(uint64_t bound) { return static_cast<uint32_t>(random_.Below(bound)); }

  void Emit(const SynthWorld::Emission& tokens, int64_t time_s) {
    for (const uint32_t token : tokens) subject_.events.push_back({token, time_s});
  }
  void EmitVisible(const SynthWorld::Emission& tokens, int64_t time_s) {
    Emit(tokens, time_s);
    subject_.num_visible_phrases += static_cast<uint32_t>(tokens.size());
  }

  void Header() {
    subject_.age = Below(synth::kNumAges);
    subject_.gender = Below(synth::kNumGenders);
    subject_.bmi = Below(synth::kNumBmis);
    subject_.lifestyle = Below(synth::kNumLifestyles);
    Emit({SynthWorld::kStart}, 0);
    EmitVisible(world_.age(subject_.age), 0);
    EmitVisible(world_.gender(subject_.gender), 0);
    EmitVisible(world_.bmi(subject_.bmi), 0);
    EmitVisible(world_.lifestyle(subject_.lifestyle), 0);
    const int64_t start_day = kFirstStartDay + static_cast<int64_t>(random_.Below(kNumStartDays));
    const int64_t age_days =
        365 * (10 * static_cast<int64_t>(synth::kFirstAgeDecile + subject_.age)) +
        static_cast<int64_t>(random_.Below(3'650));
    // Never exactly 1970, which would be static.
    Emit({world_.birth_token()}, (start_day - age_days) * kDaySeconds + kHourSeconds);
    time_s_ = start_day * kDaySeconds + 8 * kHourSeconds;
  }

  // Three of four gaps are days to months, one is minutes: the same visit.
  void PassTime() {
    const bool same_visit = random_.Below(4) == 0;
    time_s_ += 60 * static_cast<int64_t>(1 + random_.Below(40));
    if (!same_visit) time_s_ += kDaySeconds * static_cast<int64_t>(1 + random_.Below(60));
  }

  uint32_t Move() {
    uint32_t left = Below(100);
    uint32_t move = 0;
    while (left >= synth::kMovePercents[move]) left -= synth::kMovePercents[move++];
    return move;
  }

  void Chain() {
    const uint32_t length = synth::kMinChainEvents + Below(synth::kNumLengths);
    const uint32_t positive_percent =
        subject_.is_case ? synth::kPositivePercentOfCase : synth::kPositivePercentOfControl;
    subject_.states.reserve(length);
    for (uint32_t i = 0; i < length; ++i) {
      if (i > 0) PassTime();
      const uint32_t state =
          i == 0 ? Below(world_.num_states()) : world_.Next(subject_.states.back(), Move());
      subject_.states.push_back(state);
      EmitVisible(world_.state(state), time_s_);
      if ((i + 1) % synth::kReviewEvery != 0 || i >= kNumReviews * synth::kReviewEvery) continue;
      const bool positive = Below(100) < positive_percent;
      subject_.num_positive += positive ? 1 : 0;
      EmitVisible(world_.review(positive), time_s_);
    }
  }

  // From the cutoff of one month on, up to and beyond the diagnosis.
  void Markers(int64_t cancer_day) {
    time_s_ = SubtractMonths(cancer_day * kMicrosPerDay, 1) / kMicrosPerSecond + kHourSeconds;
    const int64_t end_s =
        (cancer_day + static_cast<int64_t>(random_.Below(kNumDaysAfterAnchor))) * kDaySeconds;
    while (time_s_ < end_s) {
      Emit(world_.marker(Below(synth::kNumMarkers)), time_s_);
      time_s_ += kDaySeconds * static_cast<int64_t>(1 + random_.Below(14)) + kHourSeconds;
    }
    time_s_ = subject_.events.back().time_s;
  }

  const SynthWorld& world_;
  PhiloxStream random_;
  SynthSubject subject_;
  int64_t time_s_ = 0;
};

double PositiveRate(bool is_case) {
  return (is_case ? synth::kPositivePercentOfCase : synth::kPositivePercentOfControl) / 100.0;
}

double CaseRate(bool is_case) {
  const double rate = 1.0 / synth::kCaseOneIn;
  return is_case ? rate : 1 - rate;
}

// P(the reviews, in their order) when `num_positive` of them are positive.
double ReviewProbability(uint32_t num_positive, bool is_case) {
  const double rate = PositiveRate(is_case);
  return std::pow(rate, num_positive) * std::pow(1 - rate, kNumReviews - num_positive);
}

// Binomial coefficients of the number of reviews.
std::array<double, kNumReviews + 1> Choices() {
  std::array<double, kNumReviews + 1> choices;
  choices[0] = 1;
  for (uint32_t k = 1; k <= kNumReviews; ++k) {
    choices[k] = choices[k - 1] * (kNumReviews - k + 1) / k;
  }
  return choices;
}

double LogReviews(uint32_t num_positive) {
  return std::log(CaseRate(true) * ReviewProbability(num_positive, true) +
                  CaseRate(false) * ReviewProbability(num_positive, false));
}

// Of the header, the length and the first state, which are uniform.
double LogOfUniformParts(const SynthWorld& world) {
  return -std::log(static_cast<double>(synth::kNumAges) * synth::kNumGenders * synth::kNumBmis *
                   synth::kNumLifestyles * synth::kNumLengths * world.num_states());
}

}  // namespace

SynthSubject DrawSubject(const SynthWorld& world, uint64_t seed, uint64_t index) {
  return Drawer(world, seed, index).Draw();
}

const char* SplitOfIndex(uint64_t index) {
  const uint64_t place = index % 10;
  return place < 8 ? "train" : place == 8 ? "tuning" : "held_out";
}

namespace synth {

double LogProbability(const SynthWorld& world, const SynthSubject& subject) {
  double sum = LogOfUniformParts(world) + LogReviews(subject.num_positive);
  for (size_t i = 1; i < subject.states.size(); ++i) {
    for (uint32_t move = 0; move < kMovePercents.size(); ++move) {
      if (world.Next(subject.states[i - 1], move) == subject.states[i]) {
        sum += std::log(kMovePercents[move] / 100.0);
      }
    }
  }
  return sum;
}

double ChainEntropyRate() {
  double rate = 0;
  for (const uint32_t percent : kMovePercents) rate -= percent / 100.0 * std::log(percent / 100.0);
  return rate;
}

double NarrativeEntropy(const SynthWorld& world) {
  const double mean_length = kMinChainEvents + (kNumLengths - 1) / 2.0;
  double entropy = -LogOfUniformParts(world) + (mean_length - 1) * ChainEntropyRate();
  const auto choices = Choices();
  for (uint32_t k = 0; k <= kNumReviews; ++k) {
    entropy -= choices[k] * std::exp(LogReviews(k)) * LogReviews(k);
  }
  return entropy;
}

double BestAuroc() {
  const auto choices = Choices();
  double auroc = 0;
  for (uint32_t a = 0; a <= kNumReviews; ++a) {
    for (uint32_t b = 0; b <= a; ++b) {
      auroc += (a == b ? 0.5 : 1.0) * choices[a] * ReviewProbability(a, true) * choices[b] *
               ReviewProbability(b, false);
    }
  }
  return auroc;
}

}  // namespace synth
}  // namespace anamnesis::prep
