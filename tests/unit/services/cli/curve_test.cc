// SPDX-License-Identifier: Apache-2.0
#include "services/cli/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "services/cli/metric_text.h"
#include "services/cli/text.h"
#include "tests/unit/services/cli/made_job.h"

namespace anamnesis::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Joined(const std::vector<std::string>& lines) {
  std::string text = "\n";
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::vector<CurvePoint> Falling(int count) {
  std::vector<CurvePoint> points;
  for (int i = 0; i < count; ++i) points.push_back({1.0 * i, 1 + 3 * std::exp(-i / 10.0)});
  return points;
}

TEST(DrawCurve, JoinsPointsByALine) {
  EXPECT_EQ(Joined(DrawCurve({{0, 0}, {10, 10}}, {}, {.width = 24, .height = 6, .ascii = true})),
            R"(
10 +               *****
   |          *****
   |     *****
 0 +*****
   +--------------------
    0                 10
)");
}

TEST(DrawCurve, DrawsBrailleAndMarks) {
  EXPECT_EQ(Joined(DrawCurve(Falling(40), {{20, 2}, {39, 1.5}}, {.width = 40, .height = 9})),
            R"(
    4 ┤⠱⡀
      │ ⠘⢄
      │   ⠑⡄
 2.53 ┤    ⠈⠑⢄
      │       ⠉⠒⢄⡀     ◆
      │          ⠈⠑⠒⠤⣀⣀⡀               ◆
1.061 ┤                ⠈⠉⠒⠒⠒⠢⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀
      └─────────────────────────────────
       0                              39
)");
}

TEST(DrawCurve, HasTheSizeThatWasAskedFor) {
  for (const size_t width : {24u, 60u, 133u}) {
    for (const size_t height : {4u, 9u, 30u}) {
      const auto lines = DrawCurve(Falling(1000), {}, {.width = width, .height = height});
      EXPECT_EQ(lines.size(), height);
      for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), width);
    }
  }
}

TEST(DrawCurve, LivesWithWhatRunsDiverge) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_THAT(Joined(DrawCurve({}, {}, {})), HasSubstr("(no points yet)"));
  EXPECT_THAT(Joined(DrawCurve({{1, nan}, {2, infinite}}, {}, {})), HasSubstr("(no points yet)"));
  EXPECT_EQ(DrawCurve({{5, 2}}, {}, {}).size(), 16u);
  EXPECT_EQ(DrawCurve({{5, 2}, {6, nan}, {7, 2}}, {{7, nan}}, {}).size(), 16u);
  EXPECT_EQ(DrawCurve({{0, -1e308}, {1, 1e308}}, {}, {}).size(), 16u);
}

v1::MetricPoint Point(int64_t step, const std::string& name, double value) {
  v1::MetricPoint point;
  point.set_step(step);
  (*point.mutable_values())[name] = value;
  return point;
}

TEST(MetricCurves, HaveAHeadWithTheLastValues) {
  MetricCurves curves({});
  for (int step = 1; step <= 50; ++step) curves.Add(Point(step, "loss", 4.0 - step / 20.0));
  curves.Add(Point(50, "tuning_loss", 1.75));
  const auto lines = curves.Picture("jobs/17", 60, 12, false);
  ASSERT_EQ(lines.size(), 12u);
  EXPECT_EQ(lines[0], "jobs/17  step 50  loss 1.5000  ◆ tuning_loss 1.7500");
  EXPECT_THAT(Joined(lines), HasSubstr("◆"));
}

TEST(MetricCurves, DrawOnePictureForEachName) {
  MetricCurves curves({"loss", "grad_norm"});
  curves.Add(Point(1, "loss", 2));
  curves.Add(Point(2, "grad_norm", 1));
  const auto lines = curves.Picture("jobs/17", 60, 21, true);
  ASSERT_EQ(lines.size(), 21u);
  EXPECT_EQ(lines[1], "loss");
  EXPECT_EQ(lines[11], "grad_norm");
}

TEST(MetricCurves, ALaterAttemptReplacesSteps) {
  MetricCurves curves({});
  curves.Add(Point(1, "loss", 2));
  curves.Add(Point(2, "loss", 900));
  curves.Add(Point(2, "loss", 1));
  EXPECT_THAT(curves.Picture("j", 40, 8, true)[1], StartsWith("  2 +"));
}

}  // namespace
}  // namespace anamnesis::cli
