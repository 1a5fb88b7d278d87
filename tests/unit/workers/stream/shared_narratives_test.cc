// SPDX-License-Identifier: Apache-2.0
// Every narrative of the shared cohorts, from raw files through shards: ids against the crate's
// encoding of the whole text and against transformers', and the totals of the index against counts
// made without it. Prints numbers, never text.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/workers/text/text_fixture.h"
#include "workers/prep/prepare.h"
#include "workers/shard/reader.h"
#include "workers/stream/narrative.h"
#include "workers/stream/row_source.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::stream {
namespace {

constexpr const char* kSplits[] = {"train", "tuning", "held_out"};

std::string PrepareShards(const std::string& cohort, const TemporaryFolder& folder) {
  const std::string data = text::SharedDataFolder() + "/" + cohort;
  config::DataSection section;
  section.data_dir = data;
  section.vocab_filepath = data + "/vocab.csv";
  section.labels_filepath = data + "/labels.csv";
  section.medical_lookup_filepath = data + "/medical_lookup.csv";
  section.lab_lookup_filepath = data + "/lab_lookup.csv";
  prep::PrepareOptions options;
  options.out = folder.File(cohort);
  const auto summary = prep::Prepare(section, options);
  EXPECT_TRUE(summary.ok()) << summary.status();
  return options.out;
}

// The narrative of everything that is not silent: what no cutoff shortens.
Narrative Uncut(const shard::Subject& subject, const std::vector<shard::Phrase>& phrases) {
  Narrative narrative;
  for (const shard::Event& event : subject.events) {
    if (phrases[event.phrase].kind != shard::PhraseKind::kSilent) {
      narrative.phrases.push_back(event.phrase);
    }
  }
  return narrative;
}

// Encodes every subject, cut and not, by phrases and as a whole; returns the records of what is not
// cut for the oracle.
std::string CompareWithWholeText(const std::string& shards_directory,
                                 const text::Tokenizer& tokenizer) {
  const auto shards = shard::ShardSet::Open(shards_directory).value();
  StreamSpec spec;
  spec.cutoff_months = 1;
  spec.on_missing_date = "keep";
  const NarrativeRule rule = NarrativeRule::FromSpec(spec).value();
  auto encoder = text::NarrativeEncoder::Create(tokenizer, rule.separator()).value();
  std::string records;
  uint32_t number = 0;
  for (const char* split : kSplits) {
    for (uint64_t i = 0; i < shards->Split(split)->num_subjects; ++i) {
      shard::Subject subject;
      EXPECT_TRUE(shards->Read(split, i, &subject).ok());
      Narrative cut;
      EXPECT_TRUE(rule.Apply(subject, shards->phrases(), split, i, &cut).ok());
      const Narrative uncut = Uncut(subject, shards->phrases());
      for (const Narrative* narrative : {&uncut, static_cast<const Narrative*>(&cut)}) {
        std::vector<std::string_view> texts;
        for (const uint32_t phrase : narrative->phrases)
          texts.push_back(shards->phrases()[phrase].text);
        std::vector<int32_t> ids;
        std::vector<uint32_t> unit_begin;
        EXPECT_TRUE(encoder->Encode(narrative->phrases, texts, &ids, &unit_begin).ok());
        const std::string whole = rule.Text(*narrative, shards->phrases());
        const std::vector<int32_t> expected = tokenizer.Encode(whole, false)->ids;
        if (ids != expected) {
          const auto at = std::mismatch(ids.begin(), ids.end(), expected.begin(), expected.end());
          const auto unit = std::upper_bound(unit_begin.begin(), unit_begin.end(),
                                             static_cast<uint32_t>(at.first - ids.begin()));
          ADD_FAILURE() << split << ", subject " << i << ", phrase "
                        << unit - unit_begin.begin() - 1;
        }
        if (narrative == &uncut) text::AppendRecord(number++, unit_begin, whole, ids, &records);
      }
    }
  }
  return records;
}

class SharedNarratives : public ::testing::TestWithParam<const char*> {
 protected:
  void CheckTokenizer(const std::string& name) {
    if (text::SharedDataFolder().empty()) GTEST_SKIP() << "shared data absent";
    const TemporaryFolder folder, model;
    const std::string shards = PrepareShards(GetParam(), folder);
    if (HasFailure()) return;
    text::CopySharedTokenizer(name, model);
    const auto tokenizer = text::Tokenizer::FromDirectory(model.path()).value();
    ASSERT_TRUE(tokenizer->phrase_exact());
    model.Write("narratives", CompareWithWholeText(shards, *tokenizer));
    if (text::OracleProgram().empty()) GTEST_SKIP() << "oracle absent";
    EXPECT_TRUE(text::OracleAgrees(model.File("tokenizer.json"), model.File("narratives")));
  }
};

TEST_P(SharedNarratives, GiveTheIdsOfTransformersWithPhi3) { CheckTokenizer("phi-3-mini"); }
TEST_P(SharedNarratives, GiveTheIdsOfTransformersWithLlama2) { CheckTokenizer("llama2"); }

TEST_P(SharedNarratives, AreTrainedOnWholeInOneEpoch) {
  if (text::SharedDataFolder().empty()) GTEST_SKIP() << "shared data absent";
  const TemporaryFolder folder, model;
  text::CopySharedTokenizer("llama2", model);  // the one with BOS
  const auto tokenizer = text::Tokenizer::FromDirectory(model.path()).value();
  RowSourceOptions options;
  options.shards_directory = PrepareShards(GetParam(), folder);
  ASSERT_FALSE(HasFailure());
  options.split = "train";
  options.model_directory = model.path();
  options.index_path = folder.File("train.pieces");
  options.spec.max_length = 2048;
  options.spec.cutoff_months = 6;
  options.spec.on_missing_date = "keep";
  options.spec.tokenizer_sha256 = tokenizer->sha256();
  const StreamTotals totals =
      EnsureIndex(options.shards_directory, "train", model.path(), options.spec, options.index_path)
          .value();

  const auto shards = shard::ShardSet::Open(options.shards_directory).value();
  const NarrativeRule rule = NarrativeRule::FromSpec(options.spec).value();
  int64_t tokens = 0, events = 0, documents = 0;
  for (uint64_t i = 0; i < shards->Split("train")->num_subjects; ++i) {
    shard::Subject subject;
    Narrative narrative;
    ASSERT_TRUE(shards->Read("train", i, &subject).ok());
    ASSERT_TRUE(rule.Apply(subject, shards->phrases(), "train", i, &narrative).ok());
    events += static_cast<int64_t>(subject.events.size());
    documents += narrative.phrases.empty() ? 0 : 1;
    const std::string whole = rule.Text(narrative, shards->phrases());
    tokens += static_cast<int64_t>(tokenizer->Encode(whole, false)->ids.size());
  }
  EXPECT_EQ(totals.num_tokens, tokens);
  EXPECT_EQ(totals.num_events, events);
  EXPECT_EQ(totals.num_documents, documents);
  EXPECT_EQ(totals.num_dropped_ids, 0);

  const auto source = RowSource::Open(options).value();
  ASSERT_TRUE(source->SelectEpoch(2).ok());
  int64_t row_tokens = 0, row_ids = 0;
  for (int64_t row = 0; row < source->num_rows(); ++row) {
    const PackedRow packed = source->Row(row).value();
    row_tokens += packed.num_tokens;
    row_ids += static_cast<int64_t>(packed.ids.size());
  }
  EXPECT_EQ(row_tokens, tokens);
  EXPECT_EQ(row_ids, totals.num_ids);
  const double fill = static_cast<double>(row_ids) / static_cast<double>(source->num_rows() * 2048);
  EXPECT_GE(fill, 0.97);
  RecordProperty("tokens", Cat(tokens));
  RecordProperty("fill", Cat(fill));
}

INSTANTIATE_TEST_SUITE_P(Cohorts, SharedNarratives,
                         ::testing::Values("mimic-demo-seed", "synthea-seed"),
                         [](const auto& cohort) {
                           return std::string(cohort.param) == "synthea-seed" ? "Synthea" : "Mimic";
                         });

}  // namespace
}  // namespace anamnesis::stream
