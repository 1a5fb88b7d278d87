// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/cutoff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/civil.h"

namespace anamnesis::stream {
namespace {

using ::testing::HasSubstr;

int64_t Time(const char* text) { return ParseTimestampMicros(text).value(); }

StreamSpec Months(int months) {
  StreamSpec spec;
  spec.cutoff_months = months;
  return spec;
}

shard::Subject Case(const char* date) {
  shard::Subject subject;
  subject.is_case = true;
  if (date != nullptr) subject.cancer_time_us = Time(date);
  return subject;
}

shard::Subject Control(std::vector<int64_t> times) {
  shard::Subject subject;
  for (const int64_t time : times) subject.events.push_back({.phrase = 0, .time_us = time});
  return subject;
}

bool Keeps(const StreamSpec& spec, const shard::Subject& subject, int64_t time_us) {
  const CutoffRule rule = CutoffRule::FromSpec(spec).value();
  return rule.Keeps(rule.CutOf(subject, "train", 0).value(), {.phrase = 0, .time_us = time_us});
}

TEST(Cutoff, IsCalendarMonthsBeforeTheDiagnosis) {
  struct Row {
    const char* diagnosis;
    int months;
    const char* cutoff;
  };
  const Row rows[] = {
      {"2023-03-31", 1, "2023-02-28"},  {"2024-03-31", 1, "2024-02-29"},
      {"2024-02-29", 12, "2023-02-28"}, {"2024-02-29", 48, "2020-02-29"},
      {"2000-03-30", 1, "2000-02-29"},  {"1900-03-31", 1, "1900-02-28"},
      {"2023-01-15", 1, "2022-12-15"},  {"2023-07-31", 1, "2023-06-30"},
      {"2023-05-10", 0, "2023-05-10"},  {"1970-01-20", 1, "1969-12-20"},
      {"1965-06-30", 4, "1965-02-28"},  {"2010-12-31", 18, "2009-06-30"},
  };
  for (const Row& row : rows) {
    const CutoffRule rule = CutoffRule::FromSpec(Months(row.months)).value();
    EXPECT_EQ(rule.CutOf(Case(row.diagnosis), "train", 0)->time_us, Time(row.cutoff))
        << row.diagnosis << " - " << row.months;
  }
}

TEST(Cutoff, KeepsWhatIsBeforeItAndStaticEvents) {
  const shard::Subject subject = Case("2023-03-31");
  const int64_t cutoff = Time("2023-02-28");
  EXPECT_TRUE(Keeps(Months(1), subject, cutoff - 1));
  EXPECT_FALSE(Keeps(Months(1), subject, cutoff));
  EXPECT_FALSE(Keeps(Months(1), subject, cutoff + 1));
  EXPECT_TRUE(Keeps(Months(1), subject, shard::kStatic));
  EXPECT_TRUE(Keeps(Months(1), subject, Time("1930-01-01")));
}

TEST(Cutoff, KeepsTheInstantItselfWhenTheBoundaryIsInclusive) {
  StreamSpec spec = Months(1);
  spec.boundary = "inclusive";
  const int64_t cutoff = Time("2023-02-28");
  EXPECT_TRUE(Keeps(spec, Case("2023-03-31"), cutoff));
  EXPECT_FALSE(Keeps(spec, Case("2023-03-31"), cutoff + 1));
}

TEST(Cutoff, LeavesControlsWholeUnlessItAppliesToAll) {
  const int64_t last = Time("2022-08-31 14:30:00");
  const shard::Subject control = Control({shard::kStatic, Time("2020-01-01"), last});
  EXPECT_TRUE(Keeps(Months(6), control, last));
  StreamSpec all = Months(6);
  all.apply_to = "all";
  EXPECT_FALSE(Keeps(all, control, last));
  EXPECT_TRUE(Keeps(all, control, Time("2022-02-28 14:29:59")));
  EXPECT_FALSE(Keeps(all, control, Time("2022-02-28 14:30:00")));
  EXPECT_TRUE(Keeps(all, control, shard::kStatic));
}

TEST(Cutoff, LeavesAControlWithoutTimesWhole) {
  StreamSpec all = Months(6);
  all.apply_to = "all";
  EXPECT_TRUE(Keeps(all, Control({shard::kStatic}), shard::kStatic));
  EXPECT_TRUE(Keeps(all, Control({}), shard::kStatic));
}

TEST(Cutoff, TreatsACaseWithoutADateAsTold) {
  StreamSpec spec = Months(1);
  const Status error = CutoffRule::FromSpec(spec)->CutOf(Case(nullptr), "tuning", 17).status();
  EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(error),
              AllOf(HasSubstr("split tuning, subject 17"), HasSubstr("without a cancerdate"),
                    HasSubstr("data.on_missing_date")));
  shard::Subject bad = Case(nullptr);
  bad.bad_cancer_date = true;
  EXPECT_THAT(MessageOf(CutoffRule::FromSpec(spec)->CutOf(bad, "train", 3).status()),
              HasSubstr("cannot be read"));
  spec.on_missing_date = "keep";
  EXPECT_TRUE(Keeps(spec, Case(nullptr), Time("2099-01-01")));
  spec.on_missing_date = "drop";
  EXPECT_TRUE(CutoffRule::FromSpec(spec)->CutOf(Case(nullptr), "train", 0)->drop_subject);
  EXPECT_FALSE(Keeps(spec, Case(nullptr), shard::kStatic));
  EXPECT_TRUE(Keeps(spec, Control({}), shard::kStatic)) << "only cases need a date";
}

TEST(Cutoff, RefusesUnknownValuesByKey) {
  StreamSpec spec = Months(-1);
  EXPECT_THAT(MessageOf(CutoffRule::FromSpec(spec).status()), HasSubstr("data.cutoff_months: -1"));
  spec = Months(1);
  spec.apply_to = "some";
  EXPECT_THAT(MessageOf(CutoffRule::FromSpec(spec).status()), HasSubstr("data.apply_to: 'some'"));
  spec = Months(1);
  spec.boundary = "half";
  EXPECT_THAT(MessageOf(CutoffRule::FromSpec(spec).status()), HasSubstr("data.boundary: 'half'"));
  spec = Months(1);
  spec.on_missing_date = "guess";
  EXPECT_THAT(MessageOf(CutoffRule::FromSpec(spec).status()),
              HasSubstr("data.on_missing_date: 'guess'"));
}

}  // namespace
}  // namespace anamnesis::stream
