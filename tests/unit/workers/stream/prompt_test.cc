// SPDX-License-Identifier: Apache-2.0
// Questions behind narratives: the text, the ids of the answers, and rows that end in them.
#include "workers/stream/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/unit/workers/stream/small_set.h"
#include "workers/stream/narrative.h"
#include "workers/stream/row_source.h"

namespace anamnesis::stream {
namespace {

using ::testing::HasSubstr;

Prompt SmallPrompt() {
  return {
      .text_template = "{narrative}\n{question}\n", .question = "Ill?", .answers = {"no", "yes"}};
}

TEST(PromptText, FillsBothPlacesAndLeavesBracesOfANarrativeAlone) {
  EXPECT_EQ(PromptText(SmallPrompt(), "a {question} b"), "a {question} b\nIll?\n");
}

TEST(CheckPrompt, NamesWhatCannotBeAsked) {
  const auto error_of = [](auto change) {
    Prompt prompt = SmallPrompt();
    change(prompt);
    return MessageOf(CheckPrompt(prompt));
  };
  EXPECT_TRUE(CheckPrompt(SmallPrompt()).ok());
  EXPECT_THAT(error_of([](Prompt& p) { p.text_template = "{question}"; }), HasSubstr("found 0"));
  EXPECT_THAT(error_of([](Prompt& p) { p.text_template += "{narrative}"; }), HasSubstr("found 2"));
  EXPECT_THAT(error_of([](Prompt& p) { p.text_template = "{narrative}"; }),
              HasSubstr("{question} 0 times and there is a data.prompt.question"));
  EXPECT_THAT(error_of([](Prompt& p) { p.question.clear(); }), HasSubstr("there is no"));
  EXPECT_THAT(error_of([](Prompt& p) { p.answers.pop_back(); }), HasSubstr("at least two"));
  EXPECT_THAT(error_of([](Prompt& p) { p.answers[1].clear(); }), HasSubstr("1 is empty"));
  EXPECT_THAT(error_of([](Prompt& p) { p.answers[1] = "no"; }), HasSubstr("the same answer"));
}

class PromptRowsTest : public SmallSetTest {
 protected:
  void SetUp() override {
    SmallSetTest::SetUp();
    options_.shuffle = false;
    options_.spec.rows = "prompts";
    options_.spec.prompt = SmallPrompt();
    options_.spec.max_length = 64;
  }

  // By subject: what the rows hold before their answer and from it on.
  struct Halves {
    std::vector<int32_t> prompt, answer;
    int32_t label = -1;
  };
  std::map<int64_t, Halves> Rows() {
    std::map<int64_t, Halves> rows;
    const auto source = Open();
    for (int64_t i = 0; i < source->num_rows(); ++i) {
      const PackedRow row = source->Row(i).value();
      const auto border = row.ids.begin() + row.num_prompt_ids;
      rows[row.subject_id] = {{row.ids.begin(), border}, {border, row.ids.end()}, row.label};
      EXPECT_LE(row.ids.size(), static_cast<size_t>(options_.spec.max_length));
    }
    return rows;
  }

  // The ids of the whole prompt of the newest phrases that have room beside the longest answer.
  std::vector<int32_t> Expected(const shard::Subject& subject, size_t index) const {
    const NarrativeRule rule = NarrativeRule::FromSpec(options_.spec).value();
    Narrative narrative;
    EXPECT_TRUE(rule.Apply(subject, cohort_.phrases, "train", index, &narrative).ok());
    const auto answers = AnswerIds(options_.spec.prompt, *tokenizer_).value();
    const size_t longest = std::max(answers[0].size(), answers[1].size());
    while (true) {
      std::vector<int32_t> ids = tokenizer_->prefix_ids();
      const std::string text =
          PromptText(options_.spec.prompt, rule.Text(narrative, cohort_.phrases));
      const auto encoding = tokenizer_->Encode(text, false).value();
      ids.insert(ids.end(), encoding.ids.begin(), encoding.ids.end());
      if (narrative.phrases.empty() ||
          ids.size() + longest <= static_cast<size_t>(options_.spec.max_length)) {
        return ids;
      }
      narrative.phrases.erase(narrative.phrases.begin());
    }
  }
};

TEST_F(PromptRowsTest, ARowIsTheWholePromptsIdsThenItsAnswersAndEos) {
  const auto answers = AnswerIds(options_.spec.prompt, *tokenizer_).value();
  EXPECT_EQ(answers[0].back(), tokenizer_->eos_id().value());
  const auto rows = Rows();
  ASSERT_EQ(rows.size(), cohort_.subjects.size());
  for (size_t i = 0; i < cohort_.subjects.size(); ++i) {
    const shard::Subject& subject = cohort_.subjects[i];
    const Halves& row = rows.at(subject.subject_id);
    EXPECT_EQ(row.prompt, Expected(subject, i)) << "subject " << i;
    EXPECT_EQ(row.label, subject.is_case ? 1 : 0);
    EXPECT_EQ(row.answer, answers[subject.is_case ? 1 : 0]);
  }
}

TEST_F(PromptRowsTest, WhatIsShownOfANarrativeDoesNotTellTheAnswer) {
  options_.spec.prompt.answers = {"no", "yes, and that is a long answer"};
  const size_t longest = AnswerIds(options_.spec.prompt, *tokenizer_).value()[1].size();
  for (const auto& [subject, row] : Rows()) {  // controls, too, whose answer is short
    EXPECT_LE(row.prompt.size() + longest, 64U) << subject;
  }
}

TEST_F(PromptRowsTest, APromptWithoutRoomIsRefused) {
  options_.spec.max_length = 6;
  const Status status = Ensure().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("has no room for data.prompt"));
}

TEST_F(PromptRowsTest, AnAnswerForEachClassIsNeeded) {
  options_.spec.prompt.answers.push_back("perhaps");
  EXPECT_THAT(MessageOf(Ensure().status()), HasSubstr("3 answers of 2 classes"));
}

TEST_F(PromptRowsTest, ThePromptIsPartOfTheStreamsDigest) {
  StreamSpec other = options_.spec;
  other.prompt.question = "Really?";
  EXPECT_NE(StreamDigest(options_.spec), StreamDigest(other));
  EXPECT_EQ(ChangedKeys(options_.spec, other), std::vector<std::string>{"data.prompt.question"});
  EXPECT_EQ(StreamSpecFromJson(ToJson(other), "here").value(), other);
}

}  // namespace
}  // namespace anamnesis::stream
