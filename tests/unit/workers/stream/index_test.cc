// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/philox.h"
#include "tests/unit/workers/text/text_fixture.h"

namespace anamnesis::stream {
namespace {

using ::testing::HasSubstr;

const IndexSource kSource = {.manifest_sha256 = std::string(64, 'a'),
                             .stream_digest = std::string(64, 'b'),
                             .split = "train",
                             .max_length = 100,
                             .num_prefix_ids = 1,
                             .num_tail_ids = 1};

struct MadeIndex {
  std::vector<PieceIndex::Place> places;
  StreamTotals totals;
};

// Subjects with 0 to 3 pieces; about a third have none.
MadeIndex WriteIndex(const std::string& path, int num_subjects, uint64_t seed) {
  PhiloxStream random(seed, 1);
  PieceIndexWriter writer = PieceIndexWriter::Create(path, kSource).value();
  MadeIndex made;
  for (int subject = 0; subject < num_subjects; ++subject) {
    std::vector<uint32_t> lengths(random.Below(3) == 0 ? 0 : 1 + random.Below(3));
    for (size_t i = 0; i < lengths.size(); ++i) {
      lengths[i] = static_cast<uint32_t>(2 + random.Below(99));
      made.places.push_back({.subject = static_cast<uint64_t>(subject),
                             .document = static_cast<uint64_t>(made.totals.num_documents),
                             .ordinal = static_cast<uint32_t>(i)});
      made.totals.num_ids += lengths[i];
      ++made.totals.num_pieces;
    }
    made.totals.num_documents += lengths.empty() ? 0 : 1;
    ++made.totals.num_subjects;
    EXPECT_TRUE(writer.AddSubject(lengths).ok());
  }
  made.totals.num_labels = made.totals.num_ids - made.totals.num_pieces;
  made.totals.num_tokens = made.totals.num_ids - 2 * made.totals.num_documents;
  EXPECT_TRUE(writer.Commit(made.totals).ok());
  return made;
}

TEST(PieceIndex, LeadsFromEveryPieceToItsSubject) {
  for (const int num_subjects : {1, 7, 8, 9, 500, 5000}) {
    const TemporaryFolder folder;
    const std::string path = folder.File("i.pieces");
    const MadeIndex made = WriteIndex(path, num_subjects, 3);
    const StatusOr<PieceIndex> index = PieceIndex::Read(path);
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_EQ(index->source(), kSource);
    EXPECT_EQ(index->totals(), made.totals);
    int64_t num_tokens = 0;
    for (uint32_t piece = 0; piece < made.places.size(); ++piece) {
      const PieceIndex::Place place = index->Locate(piece);
      ASSERT_EQ(place.subject, made.places[piece].subject) << "piece " << piece;
      ASSERT_EQ(place.document, made.places[piece].document) << "piece " << piece;
      ASSERT_EQ(place.ordinal, made.places[piece].ordinal) << "piece " << piece;
      num_tokens += index->TokensOf(piece);
    }
    EXPECT_EQ(num_tokens, made.totals.num_tokens);
  }
}

TEST(PieceIndex, TakesFourBytesAPieceAndABitASubject) {
  const TemporaryFolder folder;
  const MadeIndex made = WriteIndex(folder.File("i"), 4000, 5);
  EXPECT_EQ(FileSize(folder.File("i")).value(),
            192U + 4U * static_cast<uint64_t>(made.totals.num_pieces) + 500U + 88U);
}

TEST(PieceIndex, FindsEveryFlippedByteAndEveryTruncation) {
  const TemporaryFolder folder;
  WriteIndex(folder.File("good"), 20, 5);
  const std::string good = ReadFile(folder.File("good")).value();
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    folder.Write("bad", bad);
    const Status flipped = PieceIndex::Read(folder.File("bad")).status();
    ASSERT_EQ(flipped.code(), absl::StatusCode::kDataLoss) << "byte " << at;
    ASSERT_THAT(MessageOf(flipped), HasSubstr(folder.File("bad")));
    folder.Write("bad", good.substr(0, at));
    ASSERT_EQ(PieceIndex::Read(folder.File("bad")).status().code(), absl::StatusCode::kDataLoss)
        << "truncated to " << at;
  }
  folder.Write("bad", good + good);
  EXPECT_EQ(PieceIndex::Read(folder.File("bad")).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(PieceIndex::Read(folder.File("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST(PieceIndex, DoesNotTrustTotalsThatItsPiecesDenyEvenWithAGoodCrc) {
  const TemporaryFolder folder;
  PieceIndexWriter writer = PieceIndexWriter::Create(folder.File("i"), kSource).value();
  const std::vector<uint32_t> lengths = {5, 6};
  ASSERT_TRUE(writer.AddSubject(lengths).ok());
  StreamTotals totals;
  totals.num_subjects = 1;
  totals.num_documents = 1;
  totals.num_pieces = 2;
  totals.num_ids = 12;
  ASSERT_TRUE(writer.Commit(totals).ok());
  EXPECT_THAT(MessageOf(PieceIndex::Read(folder.File("i")).status()), HasSubstr("do not add up"));
}

TEST(PieceIndexWriter, LeavesNothingWhenItIsDropped) {
  const TemporaryFolder folder;
  { ASSERT_TRUE(PieceIndexWriter::Create(folder.File("i"), kSource).ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace anamnesis::stream
