// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/narrative.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::stream {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<shard::Phrase> kPhrases = {
    {"", shard::PhraseKind::kSilent},
    {"FEMALE", shard::PhraseKind::kText},
    {"4d-7d", shard::PhraseKind::kTimeInterval},
    {"Glucose 5", shard::PhraseKind::kText},
};

shard::Subject SomeCase() {
  shard::Subject subject;
  subject.is_case = true;
  subject.cancer_time_us = 100;
  subject.events = {
      {0, shard::kStatic}, {1, shard::kStatic}, {3, 10}, {2, 20}, {3, 20}, {3, 100}, {0, 100}};
  return subject;
}

TEST(Narrative, HoldsThePhrasesBeforeTheCutInOrder) {
  const NarrativeRule rule = NarrativeRule::FromSpec(StreamSpec{}).value();
  Narrative narrative;
  ASSERT_TRUE(rule.Apply(SomeCase(), kPhrases, "train", 0, &narrative).ok());
  EXPECT_THAT(narrative.phrases, ElementsAre(1, 3, 2, 3));
  EXPECT_EQ(narrative.num_events, 7U);
  EXPECT_EQ(narrative.num_cut_events, 2U) << "silent events are cut and counted as well";
  EXPECT_EQ(rule.Text(narrative, kPhrases), "FEMALE, Glucose 5, 4d-7d, Glucose 5");
}

TEST(Narrative, KnowsTheTimeOfItsLatestEvent) {
  const NarrativeRule rule = NarrativeRule::FromSpec(StreamSpec{}).value();
  Narrative narrative;
  ASSERT_TRUE(rule.Apply(SomeCase(), kPhrases, "train", 0, &narrative).ok());
  EXPECT_EQ(narrative.last_time_us, 20) << "those cut are not read";
  shard::Subject subject;
  subject.events = {{1, shard::kStatic}, {0, 70}};
  ASSERT_TRUE(rule.Apply(subject, kPhrases, "train", 0, &narrative).ok());
  EXPECT_EQ(narrative.last_time_us, shard::kStatic) << "silent events are not read";
}

TEST(Narrative, IsEmptyForADroppedSubject) {
  StreamSpec spec;
  spec.on_missing_date = "drop";
  shard::Subject subject = SomeCase();
  subject.cancer_time_us.reset();
  Narrative narrative;
  const NarrativeRule rule = NarrativeRule::FromSpec(spec).value();
  ASSERT_TRUE(rule.Apply(subject, kPhrases, "train", 0, &narrative).ok());
  EXPECT_TRUE(narrative.dropped);
  EXPECT_TRUE(narrative.phrases.empty());
  EXPECT_EQ(narrative.num_cut_events, 7U);
  EXPECT_EQ(rule.Text(narrative, kPhrases), "");
}

TEST(Narrative, NamesAPhraseOutsideTheTable) {
  shard::Subject subject;
  subject.events = {{9, 0}};
  Narrative narrative;
  const Status status =
      NarrativeRule::FromSpec(StreamSpec{})->Apply(subject, kPhrases, "train", 5, &narrative);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("subject 5: phrase 9"));
}

TEST(Narrative, RefusesWhatIsNotBuiltYet) {
  StreamSpec spec;
  spec.time_mode = "interval";
  EXPECT_EQ(NarrativeRule::FromSpec(spec).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(NarrativeRule::FromSpec(spec).status()),
              HasSubstr("data.time_mode: interval is not built yet"));
  spec = StreamSpec{};
  spec.profile = "fused";
  EXPECT_THAT(MessageOf(NarrativeRule::FromSpec(spec).status()),
              HasSubstr("data.profile: fused is not built yet"));
}

}  // namespace
}  // namespace anamnesis::stream
