// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/stream_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace anamnesis::stream {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

StreamSpec SomeSpec() {
  StreamSpec spec;
  spec.cutoff_months = 3;
  spec.max_length = 512;
  spec.tokenizer_sha256 = "abc";
  return spec;
}

TEST(StreamSpec, ComesBackFromItsJson) {
  const StatusOr<StreamSpec> back = StreamSpecFromJson(ToJson(SomeSpec()), "test");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, SomeSpec());
  EXPECT_EQ(StreamDigest(*back), StreamDigest(SomeSpec()));
}

TEST(StreamSpec, EveryFieldChangesTheDigestAndIsNamed) {
  struct Row {
    const char* key;
    void (*change)(StreamSpec*);
  };
  const Row rows[] = {
      {"data.profile", [](StreamSpec* s) { s->profile = "fused"; }},
      {"data.time_mode", [](StreamSpec* s) { s->time_mode = "age"; }},
      {"data.cutoff_months", [](StreamSpec* s) { s->cutoff_months = 4; }},
      {"data.apply_to", [](StreamSpec* s) { s->apply_to = "all"; }},
      {"data.boundary", [](StreamSpec* s) { s->boundary = "inclusive"; }},
      {"data.on_missing_date", [](StreamSpec* s) { s->on_missing_date = "drop"; }},
      {"model.max_length", [](StreamSpec* s) { s->max_length = 513; }},
      {"tokenizer", [](StreamSpec* s) { s->tokenizer_sha256 = "abd"; }},
  };
  EXPECT_EQ(ToJson(SomeSpec()).size(), std::size(rows));
  for (const Row& row : rows) {
    StreamSpec changed = SomeSpec();
    row.change(&changed);
    EXPECT_THAT(ChangedKeys(SomeSpec(), changed), ElementsAre(row.key));
    EXPECT_NE(StreamDigest(changed), StreamDigest(SomeSpec()));
  }
  EXPECT_THAT(ChangedKeys(SomeSpec(), SomeSpec()), IsEmpty());
}

TEST(StreamSpec, NamesAMissingOrImpossibleValue) {
  Json json = ToJson(SomeSpec());
  json.erase("data.boundary");
  EXPECT_THAT(MessageOf(StreamSpecFromJson(json, "plan.json").status()),
              AllOf(HasSubstr("plan.json"), HasSubstr("data.boundary")));
  json = ToJson(SomeSpec());
  json["model.max_length"] = int64_t{1} << 40;
  EXPECT_THAT(MessageOf(StreamSpecFromJson(json, "plan.json").status()),
              HasSubstr("model.max_length"));
}

}  // namespace
}  // namespace anamnesis::stream
