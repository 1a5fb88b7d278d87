// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/block.h"

#include "tests/unit/workers/shard/made_set.h"
#include "workers/shard/frame.h"

namespace anamnesis::shard {
namespace {

const std::map<std::string, uint32_t> kSites = {{"lung", 0}, {"pancreas", 1}};
const std::vector<std::string> kSiteNames = {"lung", "pancreas"};

TEST(Varint, RoundTripsEveryWidth) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t value :
         {(uint64_t{1} << bit) - 1, uint64_t{1} << bit, ~uint64_t{0} >> bit}) {
      std::string bytes;
      AppendVarint(value, &bytes);
      ByteCursor cursor(bytes);
      uint64_t back = 0;
      ASSERT_TRUE(cursor.Varint(&back));
      EXPECT_EQ(back, value);
      EXPECT_TRUE(cursor.empty());
      EXPECT_EQ(ZigZag(UnZigZag(value)), value);
    }
  }
}

TEST(Varint, RefusesAnEndInTheMiddleAndMoreThan64Bits) {
  uint64_t value = 0;
  EXPECT_FALSE(ByteCursor("").Varint(&value));
  EXPECT_FALSE(ByteCursor("\x80\x80").Varint(&value));
  EXPECT_FALSE(ByteCursor("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02").Varint(&value));
}

TEST(Frame, GivesBackItsPayloadAndRefusesAnotherMagic) {
  const std::string payload(10'000, 'x');
  const StatusOr<std::string> frame = EncodeFrame(kBlockMagic, payload);
  ASSERT_TRUE(frame.ok());
  EXPECT_LT(frame->size(), 200u);
  std::string back;
  ASSERT_TRUE(DecodeFrame(kBlockMagic, *frame, &back).ok());
  EXPECT_EQ(back, payload);
  EXPECT_EQ(DecodeFrame(kIndexMagic, *frame, &back).code(), absl::StatusCode::kDataLoss);
}

TEST(Block, GivesBackEverySubjectInAnyOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<Subject> subjects = MadeSubjects(seed, 12, 200);
    BlockBuilder builder(kSites);
    for (const Subject& subject : subjects) ASSERT_TRUE(builder.Add(subject).ok());
    StatusOr<Block> block = Block::Parse(builder.Finish(), 302, &kSiteNames);
    ASSERT_TRUE(block.ok()) << block.status();
    Subject back;
    for (size_t i = subjects.size(); i-- > 0;) {
      ASSERT_TRUE(block->Read(i, &back).ok());
      ExpectSame(subjects[i], back);
    }
  }
}

TEST(Block, StoresWholeDaysInOneByteOfTime) {
  Subject subject{.subject_id = 1};
  for (int i = 0; i < 1000; ++i) subject.events.push_back({2, i * int64_t{86'400'000'000}});
  BlockBuilder builder(kSites);
  ASSERT_TRUE(builder.Add(subject).ok());
  EXPECT_LT(builder.Finish().size(), 2020u);
}

TEST(Block, RefusesAPhraseOutsideTheTable) {
  BlockBuilder builder(kSites);
  ASSERT_TRUE(builder.Add({.subject_id = 1, .events = {{7, kStatic}}}).ok());
  StatusOr<Block> block = Block::Parse(builder.Finish(), 7, &kSiteNames);
  ASSERT_TRUE(block.ok());
  Subject back;
  EXPECT_EQ(block->Read(0, &back).code(), absl::StatusCode::kDataLoss);
}

TEST(Block, RefusesEveryTruncation) {
  const std::vector<Subject> subjects = MadeSubjects(3, 4, 30);
  BlockBuilder builder(kSites);
  for (const Subject& subject : subjects) ASSERT_TRUE(builder.Add(subject).ok());
  const std::string payload = builder.Finish();
  for (size_t size = 0; size < payload.size(); ++size) {
    EXPECT_FALSE(Block::Parse(payload.substr(0, size), 302, &kSiteNames).ok()) << size;
  }
}

}  // namespace
}  // namespace anamnesis::shard
