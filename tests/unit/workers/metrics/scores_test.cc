// SPDX-License-Identifier: Apache-2.0
#include "workers/metrics/scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/unit/workers/metrics/made_split.h"

namespace anamnesis::metrics {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Rows RowsOf(std::vector<int64_t> subjects, std::vector<int32_t> labels,
            std::vector<double> logits) {
  return {.num_classes = 2,
          .subjects = std::move(subjects),
          .labels = std::move(labels),
          .logits_NC = std::move(logits)};
}

std::string ErrorOf(const std::vector<Rows>& parts) {
  const auto split = ScoredSplit::Create(parts);
  EXPECT_EQ(split.status().code(), absl::StatusCode::kInvalidArgument);
  return MessageOf(split.status());
}

TEST(ScoredSplit, SortsTheRowsOfAllParts) {
  const auto split = ScoredSplit::Create({RowsOf({7, 3}, {1, 0}, {0, 1, 2, 0}),  //
                                          RowsOf({}, {}, {}),                    //
                                          RowsOf({3, 5}, {0, 1}, {1, 0, 0, 0})});
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_THAT(split->subjects(), ElementsAre(3, 3, 5, 7));
  EXPECT_EQ(split->logits(0)[0], 1);
  EXPECT_EQ(split->logits(1)[0], 2);
  EXPECT_EQ(split->num_subjects(), 3);
  EXPECT_EQ(split->num_positives(), 2);
}

TEST(ScoredSplit, PredictsTheFirstOfEqualClasses) {
  EXPECT_THAT(ScoredSplit::Create({RowsOf({1}, {1}, {2, 2})})->predicted(), ElementsAre(0));
}

TEST(ScoredSplit, TheRiskIsThatOfEveryClassButTheFirst) {
  Rows rows{.num_classes = 3, .subjects = {1}, .labels = {0}, .logits_NC = {0, 0, 0}};
  EXPECT_NEAR(ScoredSplit::Create({rows})->risks()[0], 2.0 / 3, 1e-15);
}

TEST(ScoredSplit, LargeLogitsDoNotOverflow) {
  const auto split = ScoredSplit::Create({RowsOf({1}, {1}, {-800, 800})});
  EXPECT_EQ(split->probabilities(0)[0], 0);
  EXPECT_EQ(split->probabilities(0)[1], 1);
}

TEST(ScoredSplit, NamesTheSubjectOfAScoreThatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(ErrorOf({RowsOf({4, 9}, {0, 1}, {0, 0, 0, nan})}),
              AllOf(HasSubstr("subject 9"), HasSubstr("class 1"), HasSubstr("nan")));
  const double infinite = std::numeric_limits<double>::infinity();
  EXPECT_THAT(ErrorOf({RowsOf({4}, {0}, {-infinite, 0})}), HasSubstr("subject 4"));
}

TEST(ScoredSplit, RefusesWhatDoesNotFit) {
  EXPECT_THAT(ErrorOf({RowsOf({6}, {2}, {0, 0})}), HasSubstr("subject 6: label 2"));
  EXPECT_THAT(ErrorOf({RowsOf({6}, {-1}, {0, 0})}), HasSubstr("label -1"));
  EXPECT_THAT(ErrorOf({RowsOf({6}, {1}, {0, 0, 0})}), HasSubstr("3 logits of 2 classes"));
  EXPECT_THAT(ErrorOf({RowsOf({6}, {}, {0, 0})}), HasSubstr("0 labels"));
  EXPECT_THAT(ErrorOf({RowsOf({}, {}, {}), Rows{.num_classes = 3}}), HasSubstr("3 classes"));
  EXPECT_THAT(ErrorOf({Rows{.num_classes = 1}}), HasSubstr("at least 2"));
  EXPECT_THAT(ErrorOf({}), HasSubstr("no parts"));
}

TEST(ScoredSplit, SelectsSubjects) {
  const ScoredSplit split = SplitOf({{0, 0.1}, {1, 0.2}, {1, 0.3}});
  const ScoredSplit chosen = split.Select([](int64_t subject) { return subject != 2; });
  EXPECT_THAT(chosen.subjects(), ElementsAre(1, 3));
  EXPECT_EQ(chosen.risks()[1], split.risks()[2]);
  EXPECT_THAT(split.Select([](int64_t) { return false; }).subjects(), IsEmpty());
}

}  // namespace
}  // namespace anamnesis::metrics
