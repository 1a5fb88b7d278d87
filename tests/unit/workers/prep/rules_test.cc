// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/rules.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace anamnesis::prep {
namespace {

using shard::PhraseKind;

Lookup MadeLookup(const std::string& rows, const char* code = "code", const char* term = "term") {
  return *Lookup::Parse(Cat(code, ",", term, "\n", rows), "lookup", code, term);
}

Lookups MadeLookups() {
  return {
      .medical = MadeLookup(
          "C10,Diseases of the circulatory system\nC10E.,Type 1 diabetes\nC10e.,Other\n"),
      .lab = MadeLookup("GLUCOSE,Glucose\nHBA1C_3,Haemoglobin A1c third\nHBA1C,Haemoglobin A1c\n"),
      .region = MadeLookup("7,London\n", "regionid", "Description"),
      .time = MadeLookup("1mt-2mt,one to two months\n")};
}

struct Row {
  const char* token;
  const char* text;
  PhraseKind kind = PhraseKind::kText;
  bool unknown = false;
};

// Every row of the table in docs/narratives.md, profile seed.
const Row kRows[] = {
    {"<start>", "", PhraseKind::kSilent},
    {"<end>", "", PhraseKind::kSilent},
    {"<unknown>", "", PhraseKind::kSilent},
    {"MEDS_BIRTH", "", PhraseKind::kSilent},
    {"<time_interval_4d-7d>", "4d-7d", PhraseKind::kTimeInterval},
    {"<time_interval_=6mt>", "=6mt", PhraseKind::kTimeInterval},
    {"<time_interval_1mt-2mt>", "one to two months", PhraseKind::kTimeInterval},
    {"AGE_decile_5", "AGE_decile 5"},
    {"AGE_decile", "AGE_decile"},
    {"AGE: 45-49", "AGE: 45-49"},
    {"AGE_T1//Q5", "AGE_T1//Q5"},
    {"AGE", "AGE"},
    {"GENDER//FEMALE", "FEMALE"},
    {"ETHNICITY//White British", "White British"},
    {"MEDICAL//C10", "Diseases of the circulatory system"},
    {"MEDICAL//C10E.", "Type 1 diabetes"},
    {"MEDICAL//C10e.", "Other"},
    {"MEASUREMENT//c10", "Diseases of the circulatory system"},
    {"MEDICAL//blood_PRESSURE_o2sat", "Blood Pressure O2Sat"},
    {"MEASUREMENT//bp_systolic", "Bp Systolic"},
    {"LAB//GLUCOSE_5", "Glucose 5"},
    {"LAB//GLUCOSE", "Glucose"},
    {"LAB//HBA1C_3", "Haemoglobin A1c third"},
    {"LAB//HBA1C_4", "Haemoglobin A1c 4"},
    {"LAB//glucose_10", "Glucose 10"},
    {"LAB//UREA_LEVEL_7", "Urea Level 7"},
    {"LAB//UREA_LEVEL", "Urea Level"},
    {"BMI//Q6", "BMI: Q6"},
    {"HEIGHT//172", "HEIGHT: 172"},
    {"WEIGHT//low", "WEIGHT: low"},
    {"REGION//7", "London"},
    {"REGION//8", "8"},
    {"LIFESTYLE//CURRENT_smoker", "Current Smoker"},
    {"Q7", "7"},
    {"Q10", "10"},
    {"5.5", "5.5"},
    {"-1", "-1"},
    {"1e-05", "1e-05"},
    {"12", "12"},
    {".5", ".5"},
    {"low", "low"},
    {"normal", "normal"},
    {"high", "high"},
    {"very low", "very low"},
    {"very high", "very high"},
    {"mmol/L", "mmol/L", PhraseKind::kText, true},
    {"nan", "nan", PhraseKind::kText, true},
    {"Q", "Q", PhraseKind::kText, true},
    {"1e", "1e", PhraseKind::kText, true},
    {"GENDER//", "GENDER//", PhraseKind::kText, true},
    {"<time_interval_>", "<time_interval_>", PhraseKind::kText, true},
    {"", "", PhraseKind::kSilent, true},
};

TEST(SeedProfile, RendersEveryRowOfTheTable) {
  const Lookups lookups = MadeLookups();
  for (const Row& row : kRows) {
    const Rendering rendering = RenderToken(row.token, lookups, UnknownTokens::kKeepCode);
    EXPECT_EQ(rendering.phrase.text, row.text) << row.token;
    EXPECT_EQ(rendering.phrase.kind, row.kind) << row.token;
    EXPECT_EQ(rendering.unknown, row.unknown) << row.token;
  }
}

TEST(SeedProfile, RendersTheReadmeExampleToTheLetter) {
  const Lookups lookups = MadeLookups();
  std::string narrative;
  for (const char* token : {"AGE_decile_5", "GENDER//FEMALE", "MEDICAL//C10", "LAB//GLUCOSE_5"}) {
    if (!narrative.empty()) narrative += ", ";
    narrative += RenderToken(token, lookups, UnknownTokens::kKeepCode).phrase.text;
  }
  EXPECT_EQ(narrative, "AGE_decile 5, FEMALE, Diseases of the circulatory system, Glucose 5");
}

TEST(SeedProfile, MakesThreePhrasesOfLabValueAndUnit) {
  const Lookups lookups = MadeLookups();
  for (const auto& [token, text] : {std::pair{"LAB//GLUCOSE", "Glucose"}, std::pair{"5.5", "5.5"},
                                    std::pair{"mmol/L", "mmol/L"}}) {
    EXPECT_EQ(RenderToken(token, lookups, UnknownTokens::kKeepCode).phrase.text, text);
  }
}

TEST(SeedProfile, TreatsUnknownTokensByPolicy) {
  const Lookups lookups;
  EXPECT_EQ(RenderToken("mmol/L", lookups, UnknownTokens::kKeepCode).phrase.text, "mmol/L");
  EXPECT_EQ(RenderToken("mmol/L", lookups, UnknownTokens::kUnknown).phrase.text, "Unknown");
  EXPECT_EQ(RenderToken("mmol/L", lookups, UnknownTokens::kDrop).phrase.kind, PhraseKind::kSilent);
  EXPECT_FALSE(UnknownTokensFromName("ignore").ok());
}

TEST(SeedProfile, KeepsANarrativeOnOneLine) {
  const Lookups lookups = {.medical = MadeLookup("X,\"two\nlines\tand a tab\"\n")};
  EXPECT_EQ(RenderToken("MEDICAL//X", lookups, UnknownTokens::kKeepCode).phrase.text,
            "two lines and a tab");
}

TEST(TitleCase, StartsEveryRunOfLettersUpper) {
  EXPECT_EQ(TitleCase("full_BLOOD_count"), "Full Blood Count");
  EXPECT_EQ(TitleCase("b12folate"), "B12Folate");
  EXPECT_EQ(TitleCase("E1165"), "E1165");
}

}  // namespace
}  // namespace anamnesis::prep
