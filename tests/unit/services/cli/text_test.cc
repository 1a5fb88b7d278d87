// SPDX-License-Identifier: Apache-2.0
#include "services/cli/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "services/cli/yaml_text.h"

namespace anamnesis::cli {
namespace {

using ::testing::HasSubstr;

TEST(ParseDuration, TakesSecondsAndUnits) {
  EXPECT_EQ(*ParseDuration("90"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("1.5"), absl::Milliseconds(1500));
  EXPECT_EQ(*ParseDuration("30s"), absl::Seconds(30));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("0"), absl::ZeroDuration());
}

TEST(ParseDuration, RefusesTheRest) {
  for (const char* text :
       {"", "x", "-5", "-5s", "inf", "5 s", "5d", ".", "1e9", "99999999999999"}) {
    const Status status = ParseDuration(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(MessageOf(status), HasSubstr("expected a time such as"));
  }
}

TEST(JobName, TakesBothForms) {
  EXPECT_EQ(*JobName("17"), "jobs/17");
  EXPECT_EQ(*JobName("jobs/17"), "jobs/17");
  for (const char* text : {"", "jobs/", "jobs/a/b", "../x", "a b", "\033[2J"}) {
    EXPECT_FALSE(JobName(text).ok()) << text;
  }
}

TEST(TableText, AlignsByWhatATerminalShows) {
  EXPECT_EQ(TableText({{"NAME", "STATE", "X"}, {"größer", "ok", "1"}, {"日本", "failed", ""}}),
            "NAME    STATE   X\n"
            "größer  ok      1\n"
            "日本    failed\n");
}

TEST(Printable, LetsNothingSteerTheTerminal) {
  EXPECT_EQ(Printable("a\033[2Jb\nc\td\x7f\xff é"), "a?[2Jb c d?? é");
  EXPECT_EQ(Printable("\xE2\x80\xAE"
                      "abc"),
            "?abc");
}

TEST(FitWidth, CutsBehindWholeCharacters) {
  EXPECT_EQ(FitWidth("größer", 6), "größer");
  EXPECT_EQ(FitWidth("größer", 4), "grö…");
  EXPECT_EQ(FitWidth("日本語", 4), "日…");
  EXPECT_EQ(FitWidth("abc", 0), "");
}

TEST(AgeText, CountsInTheUnitThatFits) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(AgeText(now - absl::Seconds(119), now), "119s");
  EXPECT_EQ(AgeText(now - absl::Minutes(119), now), "119m");
  EXPECT_EQ(AgeText(now - absl::Hours(47), now), "47h");
  EXPECT_EQ(AgeText(now - absl::Hours(24 * 9), now), "9d");
  EXPECT_EQ(AgeText(now + absl::Seconds(1), now), "0s");
  EXPECT_EQ(AgeText(absl::InfinitePast(), now), "-");
}

TEST(NumberText, KeepsWhatIsRead) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(NumberText(2.34113), "2.3411");
  EXPECT_EQ(NumberText(0.0002), "2.000e-04");
  EXPECT_EQ(NumberText(0), "0.0000");
  EXPECT_EQ(NumberText(23456.7), "23457");
  EXPECT_EQ(NumberText(nan), "nan");
  EXPECT_EQ(NumberText(-infinite), "-inf");
  EXPECT_EQ(GroupedText(1234567), "1,234,567");
  EXPECT_EQ(GroupedText(-1234), "-1,234");
  EXPECT_EQ(GroupedText(999), "999");
  EXPECT_EQ(ClockText(245), "4:05");
  EXPECT_EQ(ClockText(3723), "1:02:03");
}

TEST(YamlText, QuotesWhatYamlWouldReadOtherwise) {
  const nlohmann::ordered_json value = {
      {"name", "jobs/17"},
      {"yes", "no"},
      {"number", "17"},
      {"empty", ""},
      {"lines", "a\nb"},
      {"list", {1, 2}},
      {"none", nullptr},
      {"nothing", nlohmann::ordered_json::array()},
      {"rows", {{{"a", 1}, {"b", true}}, {{"a", 2}, {"b", 0.5}}}}};
  EXPECT_EQ(YamlText(value),
            "name: jobs/17\n"
            "\"yes\": \"no\"\n"
            "number: \"17\"\n"
            "empty: \"\"\n"
            "lines: \"a\\nb\"\n"
            "list:\n"
            "  - 1\n"
            "  - 2\n"
            "none: null\n"
            "nothing: []\n"
            "rows:\n"
            "  - a: 1\n"
            "    b: true\n"
            "  - a: 2\n"
            "    b: 0.5\n");
}

}  // namespace
}  // namespace anamnesis::cli
