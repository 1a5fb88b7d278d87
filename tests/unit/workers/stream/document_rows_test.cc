// SPDX-License-Identifier: Apache-2.0
// Rows of one subject each, for classification.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/unit/workers/stream/small_set.h"
#include "workers/stream/narrative.h"
#include "workers/stream/row_source.h"

namespace anamnesis::stream {
namespace {

using ::testing::HasSubstr;

class DocumentRowsTest : public SmallSetTest {
 protected:
  void SetUp() override {
    SmallSetTest::SetUp();
    options_.spec.rows = "documents";
    options_.spec.max_length = 24;
  }

  std::vector<int32_t> IdsOf(const Narrative& narrative) const {
    const NarrativeRule rule = NarrativeRule::FromSpec(options_.spec).value();
    std::vector<int32_t> ids = tokenizer_->prefix_ids();
    const auto text = tokenizer_->Encode(rule.Text(narrative, cohort_.phrases), false).value();
    ids.insert(ids.end(), text.ids.begin(), text.ids.end());
    ids.insert(ids.end(), tokenizer_->suffix_ids().begin(), tokenizer_->suffix_ids().end());
    return ids;
  }

  // A phrase that is too long alone keeps its end, behind what begins every text.
  std::vector<int32_t> EndOf(const std::vector<int32_t>& ids, size_t most) const {
    std::vector<int32_t> kept = tokenizer_->prefix_ids();
    kept.insert(kept.end(), ids.end() - static_cast<long>(most - kept.size()), ids.end());
    return kept;
  }

  // The whole text of the newest phrases that have room, found by trying every number of them.
  std::vector<int32_t> Expected(const shard::Subject& subject, size_t index) const {
    const NarrativeRule rule = NarrativeRule::FromSpec(options_.spec).value();
    Narrative narrative;
    EXPECT_TRUE(rule.Apply(subject, cohort_.phrases, "train", index, &narrative).ok());
    while (true) {
      const std::vector<int32_t> ids = IdsOf(narrative);
      const auto most = static_cast<size_t>(options_.spec.max_length);
      if (ids.size() <= most) return ids;
      if (narrative.phrases.size() == 1) return EndOf(ids, most);
      narrative.phrases.erase(narrative.phrases.begin());
    }
  }
};

TEST_F(DocumentRowsTest, HoldTheNewestPhrasesOfEverySubjectWithItsClass) {
  const auto source = Open();
  ASSERT_EQ(source->num_rows(), static_cast<int64_t>(cohort_.subjects.size()));
  std::set<int64_t> seen;
  int64_t num_full = 0;
  for (int64_t row = 0; row < source->num_rows(); ++row) {
    const auto packed = source->Row(row);
    ASSERT_TRUE(packed.ok()) << packed.status();
    const auto index = static_cast<size_t>(packed->subject_id - 1000);
    ASSERT_LT(index, cohort_.subjects.size());
    EXPECT_TRUE(seen.insert(packed->subject_id).second);
    const std::vector<int32_t> expected = Expected(cohort_.subjects[index], index);
    if (!expected.empty()) {
      EXPECT_EQ(packed->ids, expected) << "subject " << index;
    }
    EXPECT_EQ(packed->segment_lengths.size(), 1u);
    EXPECT_EQ(packed->label, cohort_.subjects[index].is_case ? 1 : 0);
    EXPECT_EQ(source->RowLabels(row), 1);
    num_full += packed->ids.size() + 6 > 24 ? 1 : 0;
  }
  EXPECT_GT(num_full, 10);  // truncation happened
}

TEST_F(DocumentRowsTest, CountWhatTruncationTook) {
  const StreamTotals cut = Ensure().value();
  options_.spec.max_length = 4096;
  const StreamTotals whole = Ensure().value();
  EXPECT_EQ(whole.num_dropped_ids, 0);
  EXPECT_EQ(cut.num_labels, cut.num_documents);
  EXPECT_EQ(cut.num_documents, whole.num_documents);
  EXPECT_EQ(cut.num_documents, 60);
  EXPECT_GT(cut.num_dropped_ids, 0);
  // A phrase that became the first may have one id more or less than in the middle.
  EXPECT_NEAR(static_cast<double>(cut.num_tokens + cut.num_dropped_ids),
              static_cast<double>(whole.num_tokens), 60);
}

TEST_F(DocumentRowsTest, ComeInAnOrderOfTheEpochWhenShuffledAndOfTheSplitWhenNot) {
  const auto source = Open();
  const auto order = [&](RowSource& rows) {
    std::vector<int64_t> subjects;
    for (int64_t row = 0; row < rows.num_rows(); ++row) {
      subjects.push_back(rows.Row(row).value().subject_id);
    }
    return subjects;
  };
  const std::vector<int64_t> first = order(*source);
  ASSERT_TRUE(source->SelectEpoch(1).ok());
  const std::vector<int64_t> second = order(*source);
  EXPECT_NE(first, second);
  EXPECT_THAT(second, ::testing::UnorderedElementsAreArray(first));
  options_.shuffle = false;
  const std::vector<int64_t> plain = order(*Open());
  EXPECT_TRUE(std::is_sorted(plain.begin(), plain.end()));
  EXPECT_EQ(RowsOfEpoch(options_.index_path, options_.spec, 1, 3).value(), 60);
}

TEST_F(DocumentRowsTest, HaveAClassForEachSite) {
  options_.spec.class_sites = {"breast", "lung"};
  const auto source = Open();
  std::map<int32_t, int> classes;
  for (int64_t row = 0; row < source->num_rows(); ++row) ++classes[source->Row(row).value().label];
  EXPECT_EQ(classes, (std::map<int32_t, int>{{0, 40}, {2, 20}}));
  options_.spec.class_sites = {"breast"};
  const Status refused = Ensure().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(refused), HasSubstr("split train, subject 0: a case without a site"));
}

TEST_F(DocumentRowsTest, OtherTruncationsAreRefusedByName) {
  options_.spec.truncation = "oldest";
  const Status refused = Ensure().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(refused), HasSubstr("data.truncation: oldest"));
}

}  // namespace
}  // namespace anamnesis::stream
