// SPDX-License-Identifier: Apache-2.0
// The numbers that synth prints, against samples of its own generator.
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "common/base/civil.h"
#include "gmock/gmock.h"
#include "tests/unit/workers/prep/synth_folder.h"
#include "workers/prep/synth_entropy.h"
#include "workers/prep/synth_narratives.h"
#include "workers/prep/synth_subject.h"

namespace anamnesis::prep {
namespace {

constexpr uint64_t kSeed = 11;
constexpr uint64_t kManySubjects = 20'000;

// Positive reviews among the events that the cut of one month leaves.
uint32_t CountPositive(const SynthWorld& world, const SynthSubject& subject) {
  const int64_t cut_s =
      SubtractMonths(subject.cancer_day * kMicrosPerDay, kSynthCutoffMonths) / kMicrosPerSecond;
  uint32_t count = 0;
  for (const SynthEvent& event : subject.events) {
    const bool is_kept = !subject.is_case || event.time_s == 0 || event.time_s < cut_s;
    count += is_kept && event.token == world.review(true)[0] ? 1 : 0;
  }
  return count;
}

// Mann-Whitney: the share of pairs of a case and a control that the score puts in order.
double Auroc(const std::map<uint32_t, uint64_t>& cases,
             const std::map<uint32_t, uint64_t>& controls) {
  double ordered = 0, num_pairs = 0;
  for (const auto& [case_score, num_cases] : cases) {
    for (const auto& [control_score, num_controls] : controls) {
      const double pairs = static_cast<double>(num_cases) * static_cast<double>(num_controls);
      num_pairs += pairs;
      if (case_score == control_score) ordered += pairs / 2;
      if (case_score > control_score) ordered += pairs;
    }
  }
  return ordered / num_pairs;
}

TEST(SynthTruth, BestAurocIsThatOfALargeSample) {
  const SynthWorld world(SynthStyle::kReadme);
  std::map<uint32_t, uint64_t> cases, controls;
  for (uint64_t i = 0; i < kManySubjects; ++i) {
    const SynthSubject subject = DrawSubject(world, kSeed, i);
    ++(subject.is_case ? cases : controls)[CountPositive(world, subject)];
  }
  // One standard error is 0.003 (Hanley and McNeil 1982).
  EXPECT_NEAR(Auroc(cases, controls), synth::BestAuroc(), 0.011);
  EXPECT_NEAR(synth::BestAuroc(), 0.8579, 0.0001);
}

TEST(SynthTruth, LengthAndAgeAreTheSameInCasesAndControls) {
  const SynthWorld world(SynthStyle::kReadme);
  double phrases[2] = {}, age[2] = {}, count[2] = {};
  for (uint64_t i = 0; i < kManySubjects; ++i) {
    const SynthSubject subject = DrawSubject(world, kSeed, i);
    const size_t group = subject.is_case ? 1 : 0;
    ++count[group];
    phrases[group] += subject.num_visible_phrases;
    age[group] += subject.age;
  }
  EXPECT_NEAR(count[1] / kManySubjects, 1.0 / synth::kCaseOneIn, 0.014);
  EXPECT_NEAR(phrases[1] / count[1], phrases[0] / count[0], 0.3);
  EXPECT_NEAR(age[1] / count[1], age[0] / count[0], 0.1);
}

TEST(SynthTruth, NarrativeEntropyIsTheMeanOverALargeSample) {
  for (const SynthStyle style : {SynthStyle::kReadme, SynthStyle::kValues}) {
    const SynthWorld world(style);
    double nats = 0;
    for (uint64_t i = 0; i < kManySubjects; ++i) {
      nats -= synth::LogProbability(world, DrawSubject(world, kSeed, i));
    }
    EXPECT_NEAR(nats / kManySubjects, synth::NarrativeEntropy(world), 0.2);  // 4 standard errors
  }
}

TEST(SynthTruth, ChainEntropyRateIsThatOfCountedTransitions) {
  const SynthWorld world(SynthStyle::kReadme);
  std::map<std::pair<uint32_t, uint32_t>, double> pairs;
  std::map<uint32_t, double> befores;
  double total = 0;
  for (uint64_t i = 0; i < kManySubjects; ++i) {
    const SynthSubject subject = DrawSubject(world, kSeed, i);
    for (size_t k = 1; k < subject.states.size(); ++k, ++total) {
      ++pairs[{subject.states[k - 1], subject.states[k]}];
      ++befores[subject.states[k - 1]];
    }
  }
  double rate = 0;
  for (const auto& [pair, count] : pairs) {
    rate -= count / total * std::log(count / befores[pair.first]);
  }
  EXPECT_NEAR(rate, synth::ChainEntropyRate(), 0.006);
  // The stationary distribution is uniform.
  for (const auto& [state, count] : befores) {
    EXPECT_NEAR(count / total * world.num_states(), 1, 0.08) << "state " << state;
  }
}

TEST(SynthTruth, MovesLeadToDifferentStates) {
  const SynthWorld world(SynthStyle::kPairs);
  for (uint32_t state = 0; state < world.num_states(); ++state) {
    std::map<uint32_t, int> reached = {{state, 1}};
    for (uint32_t move = 0; move < synth::kMoveShifts.size(); ++move) {
      ++reached[world.Next(state, move)];
    }
    EXPECT_EQ(reached.size(), synth::kMoveShifts.size() + 1) << "state " << state;
  }
}

TEST(SynthTruth, TrueEntropyIsBelowBigramAndBigramBelowUnigram) {
  SynthFolder folder;
  for (const SynthStyle style : {SynthStyle::kReadme, SynthStyle::kPairs, SynthStyle::kValues}) {
    folder.Make(NameOf(style), {.num_subjects = 600, .style = style});
    const Json truth = folder.Truth(NameOf(style));
    const double unigram = truth["entropy"]["unigram"], bigram = truth["entropy"]["bigram"];
    EXPECT_LT(truth["entropy"]["true"], bigram) << NameOf(style);
    EXPECT_LT(bigram, unigram / 2) << NameOf(style);
    EXPECT_GT(unigram, 3) << NameOf(style);
    EXPECT_LT(unigram, 4.5) << NameOf(style);
  }
  // A document of the default cohort fits into one row of the quickstart's configuration.
  EXPECT_LE(folder.Truth("readme")["longest_document_ids"], 256);
}

TEST(SynthTruth, TrueEntropyIsTheGeneratorsNatsOverTheLabels) {
  SynthFolder folder;
  folder.Make("c", {.num_subjects = 100, .seed = kSeed});
  const SynthWorld world(SynthStyle::kReadme);
  double nats = 0;
  for (uint64_t i = 8; i < 100; i += 10) {  // tuning
    nats -= synth::LogProbability(world, DrawSubject(world, kSeed, i));
  }
  const Json truth = folder.Truth("c");
  const double num_labels = truth["labels"]["tuning"];
  EXPECT_NEAR(truth["entropy"]["true"], nats / num_labels, 1e-6);
}

TEST(LabelCounts, AreProbabilitiesThatSumToOne) {
  LabelCounts counts(5);
  counts.Add({1, 3, 4, 3, 2});
  counts.Add({1, 3, 2});
  EXPECT_EQ(counts.num_labels(), 6U);
  EXPECT_DOUBLE_EQ(counts.Unigram(3), (3.0 + 1) / (6 + 5));
  EXPECT_DOUBLE_EQ(counts.Bigram(1, 3), (2 + counts.Unigram(3)) / (2 + 1));
  EXPECT_DOUBLE_EQ(counts.Bigram(2, 4), counts.Unigram(4));  // nothing seen behind 2
  for (int32_t before = 0; before < 5; ++before) {
    double sum = 0;
    for (int32_t label = 0; label < 5; ++label) sum += counts.Bigram(before, label);
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

}  // namespace
}  // namespace anamnesis::prep
