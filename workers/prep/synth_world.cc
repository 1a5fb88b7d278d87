// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/synth_world.h"

#include <algorithm>
#include <numeric>

#include "common/base/philox.h"

namespace anamnesis::prep {
namespace {

constexpr uint64_t kWorldSeed = 1;  // of the ring's order: part of the world, not of a cohort

// Codes AN101, AN102, … in this order.
constexpr const char* kMedicalTerms[] = {"Cough lasting three weeks",
                                         "Sore throat",
                                         "Ear infection",
                                         "Sprained ankle",
                                         "Tension headache",
                                         "Seasonal hay fever",
                                         "Mild asthma",
                                         "High blood pressure",
                                         "Raised cholesterol",
                                         "Lower back pain",
                                         "Stiff neck",
                                         "Frozen shoulder",
                                         "Itchy skin rash",
                                         "Dry eczema patches",
                                         "Fungal nail infection",
                                         "Ringing in the ears",
                                         "Blurred distance vision",
                                         "Dizzy spells on standing",
                                         "Poor sleep",
                                         "Low mood",
                                         "Worry about work",
                                         "Heartburn after meals",
                                         "Irritable bowel",
                                         "Gallstones seen on scan",
                                         "Kidney stone passed",
                                         "Bladder infection",
                                         "Swollen knee joint",
                                         "Worn hip joint",
                                         "Broken wrist",
                                         "Minor burn of hand",
                                         "Tablets for blood pressure",
                                         "Antibiotic course",
                                         "Pain relief tablets",
                                         "Inhaler technique checked",
                                         "Iron tablets started",
                                         "Yearly flu vaccination",
                                         "Travel vaccination",
                                         "Diet advice given",
                                         "Stop smoking clinic",
                                         "Exercise plan agreed",
                                         "Chest picture normal",
                                         "Heart tracing normal",
                                         "Hearing test arranged",
                                         "Eye clinic letter"};

// Codes without a row in the lookup: they come out in Title Case.
constexpr const char* kPlainTokens[] = {"MEDICAL//ROUTINE_VISIT", "MEDICAL//PHONE_CALL",
                                        "MEDICAL//HOME_VISIT", "MEASUREMENT//PULSE_CHECK"};

constexpr const char* kMarkerTerms[] = {"Urgent tumour clinic referral", "Biopsy taken",
                                        "Tumour treatment planned"};
static_assert(std::size(kMarkerTerms) == synth::kNumMarkers);

constexpr size_t kNumLevels = 5;
struct Lab {
  const char* code;
  const char* term;
  const char* unit;
  const char* values[kNumLevels];  // of levels 1 to 5
};
constexpr Lab kLabs[] = {
    {"GLUCOSE", "Glucose", "mmol/L", {"4.1", "5.0", "5.5", "6.8", "9.7"}},
    {"SODIUM", "Sodium", "mmol/L", {"133", "136", "139", "142", "145"}},
    {"POTASSIUM", "Potassium", "mmol/L", {"3.4", "3.8", "4.2", "4.7", "5.3"}},
    {"CREATININE", "Creatinine", "umol/L", {"58", "70", "82", "97", "124"}},
    {"RED_PIGMENT", "Blood pigment", "g/L", {"104", "121", "134", "146", "160"}},
    {"WHITE_CELLS", "White cell count", "10*9/L", {"3.9", "5.6", "7.0", "8.8", "12.5"}},
    {"CLOT_CELLS", "Clotting cell count", "10*9/L", {"140", "205", "248", "301", "420"}},
    {"IRON_STORE", "Iron store", "ug/L", {"9", "38", "85", "160", "310"}},
    {"LIVER_ENZYME", "Liver enzyme", "U/L", {"12", "19", "26", "41", "88"}},
    {"THYROID_SIGNAL", "Thyroid signal", "mU/L", {"0.4", "1.2", "2.1", "3.3", "6.8"}},
};

constexpr const char* kBmiValues[] = {"19.4", "22.8", "25.6", "28.9", "34.2"};
static_assert(std::size(kBmiValues) == synth::kNumBmis);

}  // namespace

StatusOr<SynthStyle> SynthStyleFromName(const std::string& name) {
  for (const SynthStyle style : {SynthStyle::kReadme, SynthStyle::kPairs, SynthStyle::kValues}) {
    if (name == NameOf(style)) return style;
  }
  return InvalidArgument("--style: ", name, ": expected readme, pairs or values");
}

const char* NameOf(SynthStyle style) {
  switch (style) {
    case SynthStyle::kReadme:
      return "readme";
    case SynthStyle::kPairs:
      return "pairs";
    case SynthStyle::kValues:
      return "values";
  }
  return "";
}

SynthWorld::SynthWorld(SynthStyle style)
    : style_(style), tokens_({"<unknown>", "<start>", "<end>"}) {
  birth_token_ = Token("MEDS_BIRTH");
  AddHeader();
  AddStates();
  AddReviewsAndMarkers();
  ShuffleRing();
}

uint32_t SynthWorld::Next(uint32_t state, uint32_t move) const {
  return ring_[(place_[state] + synth::kMoveShifts[move]) % num_states()];
}

uint32_t SynthWorld::Token(const std::string& token) {
  const auto found = std::find(tokens_.begin(), tokens_.end(), token);
  if (found != tokens_.end()) return static_cast<uint32_t>(found - tokens_.begin());
  tokens_.push_back(token);
  return static_cast<uint32_t>(tokens_.size() - 1);
}

SynthWorld::Emission SynthWorld::Medical(const std::string& code, const std::string& term) {
  medical_terms_.emplace_back(code, term);
  return {Token("MEDICAL//" + code)};
}

void SynthWorld::AddHeader() {
  for (uint32_t i = 0; i < synth::kNumAges; ++i) {
    const uint32_t decile = synth::kFirstAgeDecile + i;
    switch (style_) {
      case SynthStyle::kReadme:
        ages_.push_back({Token(Cat("AGE_decile_", decile))});
        break;
      case SynthStyle::kPairs:
        ages_.push_back({Token("AGE_decile"), Token(Cat("Q", decile))});
        break;
      case SynthStyle::kValues:
        ages_.push_back({Token(Cat("AGE: ", decile * 10, "-", decile * 10 + 9))});
        break;
    }
  }
  for (const char* gender : {"FEMALE", "MALE"})
    genders_.push_back({Token(Cat("GENDER//", gender))});
  for (uint32_t i = 0; i < synth::kNumBmis; ++i) {
    const std::string value = style_ == SynthStyle::kValues ? kBmiValues[i] : Cat("Q", i + 1);
    bmis_.push_back({Token("BMI//" + value)});
  }
  for (const char* lifestyle : {"NEVER_SMOKED", "FORMER_SMOKER", "CURRENT_SMOKER"}) {
    lifestyles_.push_back({Token(Cat("LIFESTYLE//", lifestyle))});
  }
}

void SynthWorld::AddStates() {
  uint32_t number = 100;
  for (const char* term : kMedicalTerms) states_.push_back(Medical(Cat("AN", ++number), term));
  for (const char* token : kPlainTokens) states_.push_back({Token(token)});
  for (const Lab& lab : kLabs) {
    lab_terms_.emplace_back(lab.code, lab.term);
    for (size_t i = 0; i < kNumLevels; ++i) {
      const std::string code = Cat("LAB//", lab.code);
      switch (style_) {
        case SynthStyle::kReadme:
          states_.push_back({Token(Cat(code, "_", i + 1))});
          break;
        case SynthStyle::kPairs:
          states_.push_back({Token(code), Token(Cat("Q", i + 1))});
          break;
        case SynthStyle::kValues:
          states_.push_back({Token(code), Token(lab.values[i]), Token(lab.unit)});
          break;
      }
    }
  }
}

void SynthWorld::AddReviewsAndMarkers() {
  review_terms_ = {"Weight steady at review", "Weight falling at review"};
  reviews_ = {Medical("AN901", review_terms_[0]), Medical("AN902", review_terms_[1])};
  uint32_t number = 950;
  for (const char* term : kMarkerTerms) {
    markers_.push_back(Medical(Cat("AN", ++number), term));
    marker_terms_.push_back(term);
  }
}

void SynthWorld::ShuffleRing() {
  ring_.resize(states_.size());
  std::iota(ring_.begin(), ring_.end(), 0U);
  PhiloxStream random(kWorldSeed, 0);
  for (size_t i = ring_.size() - 1; i > 0; --i) std::swap(ring_[i], ring_[random.Below(i + 1)]);
  place_.resize(states_.size());
  for (uint32_t i = 0; i < ring_.size(); ++i) place_[ring_[i]] = i;
}

}  // namespace anamnesis::prep
