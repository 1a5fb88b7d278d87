// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/row_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "common/io/file.h"
#include "tests/unit/workers/stream/small_set.h"
#include "workers/stream/narrative.h"

namespace anamnesis::stream {
namespace {

using ::testing::HasSubstr;

class RowSourceTest : public SmallSetTest {
 protected:
  void SetUp() override {
    SmallSetTest::SetUp();
    options_.spec.max_length = 48;
  }

  // The documents as whole texts, encoded independently of phrases and pieces.
  std::vector<std::vector<int32_t>> WholeDocuments() {
    std::vector<std::vector<int32_t>> documents;
    const NarrativeRule rule = NarrativeRule::FromSpec(options_.spec).value();
    for (size_t i = 0; i < cohort_.subjects.size(); ++i) {
      Narrative narrative;
      EXPECT_TRUE(rule.Apply(cohort_.subjects[i], cohort_.phrases, "train", i, &narrative).ok());
      if (narrative.phrases.empty()) continue;
      std::vector<int32_t> ids = tokenizer_->prefix_ids();
      const auto text = tokenizer_->Encode(rule.Text(narrative, cohort_.phrases), false).value();
      ids.insert(ids.end(), text.ids.begin(), text.ids.end());
      ids.push_back(tokenizer_->eos_id().value());
      documents.push_back(ids);
    }
    return documents;
  }
};

TEST_F(RowSourceTest, HoldsEveryTokenOfTheSplitOnceAnEpoch) {
  const auto source = Open();
  int64_t num_ids = 0, num_documents = 0;
  std::map<int32_t, int64_t> expected, seen;
  for (const std::vector<int32_t>& document : WholeDocuments()) {
    for (const int32_t id : document) ++expected[id];
    num_ids += static_cast<int64_t>(document.size());
    ++num_documents;
  }
  for (const int64_t epoch : {0, 1, 7}) {
    ASSERT_TRUE(source->SelectEpoch(epoch).ok());
    int64_t tokens = 0, labels = 0, pieces = 0;
    seen.clear();
    for (int64_t row = 0; row < source->num_rows(); ++row) {
      const PackedRow packed = source->Row(row).value();
      ASSERT_LE(packed.ids.size(), 48U);
      ASSERT_EQ(packed.num_tokens, source->RowTokens(row));
      ASSERT_EQ(packed.num_labels(), source->RowLabels(row));
      for (const int32_t id : packed.ids) ++seen[id];
      for (const int32_t length : packed.segment_lengths) ASSERT_GE(length, 2);
      tokens += packed.num_tokens;
      labels += packed.num_labels();
      pieces += static_cast<int64_t>(packed.segment_lengths.size());
    }
    EXPECT_EQ(seen, expected);
    EXPECT_EQ(tokens, source->totals().num_tokens);
    EXPECT_EQ(tokens, num_ids - 2 * num_documents);
    EXPECT_EQ(labels, source->totals().num_labels);
    EXPECT_EQ(labels, num_ids - pieces);
    EXPECT_EQ(pieces, source->totals().num_pieces);
    EXPECT_EQ(source->totals().num_documents, num_documents);
    EXPECT_EQ(source->totals().num_dropped_ids, 0);
  }
}

TEST_F(RowSourceTest, PiecesLaidEndToEndAreTheDocuments) {
  options_.shuffle = false;
  options_.spec.max_length = 9;  // below the longest phrase
  const auto source = Open();
  std::vector<std::vector<int32_t>> pieces;
  for (int64_t row = 0; row < source->num_rows(); ++row) {
    const PackedRow packed = source->Row(row).value();
    auto at = packed.ids.begin();
    for (const int32_t length : packed.segment_lengths) {
      pieces.emplace_back(at, at + length);
      at += length;
    }
  }
  int with_bos = 0, with_eos = 0;
  for (const std::vector<int32_t>& piece : pieces) {
    with_bos += piece.front() == 1 ? 1 : 0;
    with_eos += piece.back() == 2 ? 1 : 0;
    EXPECT_EQ(std::count(piece.begin() + 1, piece.end(), 1), 0) << "BOS only begins a document";
    EXPECT_EQ(std::count(piece.begin(), piece.end() - 1, 2), 0) << "EOS only ends a document";
  }
  EXPECT_EQ(with_bos, source->totals().num_documents);
  EXPECT_EQ(with_eos, source->totals().num_documents);
  EXPECT_GT(source->totals().num_pieces, 3 * source->totals().num_documents);
}

TEST_F(RowSourceTest, CountsEventsCutEventsAndSubjectsWithoutText) {
  const StreamTotals totals = Ensure().value();
  int64_t events = 0, cut = 0;
  const int64_t month_before = SubtractMonths(kCancerTime, 1);
  for (const shard::Subject& subject : cohort_.subjects) {
    events += static_cast<int64_t>(subject.events.size());
    for (const shard::Event& event : subject.events) {
      cut += subject.is_case && event.time_us >= month_before ? 1 : 0;
    }
  }
  EXPECT_EQ(totals.num_subjects, 60);
  EXPECT_EQ(totals.num_events, events);
  EXPECT_EQ(totals.num_cut_events, cut);
  EXPECT_GT(cut, 0);
  EXPECT_LT(totals.num_documents, 60) << "the cohort has subjects without text";
}

TEST_F(RowSourceTest, RowsDoNotDependOnTheOrderTheyAreMadeIn) {
  const auto source = Open();
  ASSERT_TRUE(source->SelectEpoch(3).ok());
  std::vector<std::vector<int32_t>> forward;
  for (int64_t row = 0; row < source->num_rows(); ++row) forward.push_back(source->Row(row)->ids);
  const auto other = Open();
  ASSERT_TRUE(other->SelectEpoch(3).ok());
  for (int64_t row = other->num_rows() - 1; row >= 0; --row) {
    ASSERT_EQ(other->Row(row)->ids, forward[static_cast<size_t>(row)]) << "row " << row;
  }
  EXPECT_EQ(RowsOfEpoch(options_.index_path, options_.spec, options_.seed, 3).value(),
            source->num_rows());
}

TEST_F(RowSourceTest, ReusesAnIntactIndexAndRebuildsADamagedOne) {
  const StreamTotals totals = Ensure().value();
  const std::string good = ReadFile(options_.index_path).value();
  const auto made_at = std::filesystem::last_write_time(options_.index_path);
  std::string damage;
  EXPECT_EQ(Ensure(&damage).value(), totals);
  EXPECT_EQ(std::filesystem::last_write_time(options_.index_path), made_at);
  EXPECT_EQ(damage, "");

  std::string bad = good;
  bad[200] = static_cast<char>(bad[200] ^ 1);
  folder_.Write("index/train.pieces", bad);
  EXPECT_EQ(RowSource::Open(options_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Ensure(&damage).value(), totals);
  EXPECT_THAT(damage, HasSubstr("CRC"));
  EXPECT_EQ(ReadFile(options_.index_path).value(), good);
}

TEST_F(RowSourceTest, RebuildsTheIndexOfAnotherStream) {
  const StreamTotals before = Ensure().value();
  options_.spec.cutoff_months = 0;
  EXPECT_EQ(RowSource::Open(options_).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RowsOfEpoch(options_.index_path, options_.spec, 1, 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_GT(Ensure()->num_tokens, before.num_tokens) << "nothing of the last month is cut now";
}

TEST_F(RowSourceTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(RowSource::Open(options_).status().code(), absl::StatusCode::kFailedPrecondition)
      << "no index yet";
  EXPECT_EQ(Open()->Row(1'000'000).status().code(), absl::StatusCode::kInvalidArgument);
  options_.spec.max_length = 2;
  EXPECT_THAT(MessageOf(Ensure().status()), HasSubstr("model.max_length"));
  options_.spec.max_length = 48;
  options_.spec.tokenizer_sha256 = "other";
  EXPECT_THAT(MessageOf(Ensure().status()), HasSubstr("tokenizer's digest"));
  options_.spec.tokenizer_sha256 = tokenizer_->sha256();
  options_.split = "nowhere";
  EXPECT_EQ(Ensure().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RowSourceTest, NamesTheSubjectOfACaseWithoutADate) {
  cohort_.subjects[17].is_case = true;
  cohort_.subjects[17].cancer_time_us.reset();
  WriteShards(cohort_, folder_.File("undated"));
  options_.shards_directory = folder_.File("undated");
  EXPECT_EQ(Ensure().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(Ensure().status()), HasSubstr("split train, subject 17"));
  EXPECT_FALSE(PathExists(options_.index_path));
  options_.spec.on_missing_date = "drop";
  EXPECT_EQ(Ensure()->num_dropped_subjects, 1);
}

TEST_F(RowSourceTest, EncodesANarrativeWithASpecialTokenLikeTheWholeText) {
  cohort_.phrases[5].text = "kidney </s> 5";
  WriteShards(cohort_, folder_.File("special"));
  options_.shards_directory = folder_.File("special");
  const auto source = Open();
  int64_t num_ids = 0;
  for (const std::vector<int32_t>& document : WholeDocuments()) {
    num_ids += static_cast<int64_t>(document.size());
  }
  EXPECT_EQ(source->totals().num_ids, num_ids);
}

}  // namespace
}  // namespace anamnesis::stream
