// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/pack_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/base/philox.h"
#include "common/base/status.h"

namespace anamnesis::stream {
namespace {

constexpr uint32_t kMaxLength = 2048;

PackPlanKey Key(uint64_t seed, int64_t epoch, bool shuffle = true) {
  return {.manifest_sha256 = "m",
          .stream_digest = "s",
          .seed = seed,
          .epoch = epoch,
          .shuffle = shuffle};
}

// Documents as in the shared sets: log-normal lengths, many longer than a row and so cut into full
// rows and a rest.
std::vector<Piece> RealisticPieces(size_t count, PhiloxStream* random) {
  std::vector<Piece> pieces;
  while (pieces.size() < count) {
    double left = std::max(8.0, std::exp(7.0 + 1.1 * random->Normal()));
    bool first = true;
    while (left >= 2 && pieces.size() < count) {
      const double room = kMaxLength - static_cast<double>(random->Below(12));
      const uint32_t length = static_cast<uint32_t>(std::min(left, room));
      pieces.push_back({length | (first ? Piece::kFirst : 0)});
      left -= length;
      first = false;
    }
  }
  return pieces;
}

std::vector<Piece> UniformPieces(size_t count, uint32_t max_length, PhiloxStream* random) {
  std::vector<Piece> pieces(count);
  for (Piece& piece : pieces) piece.bits = static_cast<uint32_t>(1 + random->Below(max_length));
  return pieces;
}

std::vector<uint32_t> Flat(const PackPlan& plan) {
  std::vector<uint32_t> flat;
  for (int64_t row = 0; row < plan.num_rows(); ++row) {
    const auto pieces = plan.PiecesOf(row);
    flat.push_back(0xFFFFFFFF);
    flat.insert(flat.end(), pieces.begin(), pieces.end());
  }
  return flat;
}

TEST(PackPlan, HoldsEveryPieceOnceInRowsThatFit) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    PhiloxStream random(seed, 1);
    const uint32_t max_length = static_cast<uint32_t>(1 + random.Below(seed % 2 == 0 ? 70 : 5000));
    const std::vector<Piece> pieces = UniformPieces(random.Below(3000), max_length, &random);
    for (int64_t epoch = 0; epoch < 4; ++epoch) {
      const PackPlan plan = PackPlan::Make(pieces, max_length, Key(seed, epoch, epoch != 3));
      std::vector<int> seen(pieces.size(), 0);
      for (int64_t row = 0; row < plan.num_rows(); ++row) {
        uint32_t sum = 0;
        ASSERT_FALSE(plan.PiecesOf(row).empty());
        for (const uint32_t piece : plan.PiecesOf(row)) {
          ++seen[piece];
          sum += pieces[piece].length();
        }
        ASSERT_LE(sum, max_length) << "seed " << seed << " epoch " << epoch << " row " << row;
        ASSERT_EQ(sum, plan.IdsOf(row));
      }
      ASSERT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<int64_t>(seen.size()))
          << "seed " << seed << " epoch " << epoch;
    }
  }
}

// Best fit by looking at every open row: the tree of words must find the same one.
TEST(PackPlan, PlacesAsASearchOverAllRowsWould) {
  PhiloxStream random(5, 5);
  for (int round = 0; round < 30; ++round) {
    const uint32_t max_length = static_cast<uint32_t>(2 + random.Below(9000));
    const std::vector<Piece> pieces = UniformPieces(400, max_length, &random);
    std::vector<uint32_t> rooms;
    for (const Piece& piece : pieces) {
      auto best = rooms.end();
      for (auto room = rooms.begin(); room != rooms.end(); ++room) {
        if (*room >= piece.length() && (best == rooms.end() || *room < *best)) best = room;
      }
      if (best == rooms.end()) best = rooms.insert(rooms.end(), max_length);
      *best -= piece.length();
    }
    const PackPlan plan = PackPlan::Make(pieces, max_length, Key(0, 0, false));
    std::vector<uint32_t> plan_rooms;
    for (int64_t row = 0; row < plan.num_rows(); ++row) {
      plan_rooms.push_back(max_length - static_cast<uint32_t>(plan.IdsOf(row)));
    }
    std::sort(rooms.begin(), rooms.end());
    std::sort(plan_rooms.begin(), plan_rooms.end());
    ASSERT_EQ(plan_rooms, rooms) << "round " << round;
  }
}

TEST(PackPlan, IsAFunctionOfItsKey) {
  PhiloxStream random(3, 1);
  const std::vector<Piece> pieces = RealisticPieces(500, &random);
  const std::vector<uint32_t> first = Flat(PackPlan::Make(pieces, kMaxLength, Key(1, 0)));
  EXPECT_EQ(Flat(PackPlan::Make(pieces, kMaxLength, Key(1, 0))), first);
  EXPECT_NE(Flat(PackPlan::Make(pieces, kMaxLength, Key(1, 1))), first);
  EXPECT_NE(Flat(PackPlan::Make(pieces, kMaxLength, Key(2, 0))), first);
  PackPlanKey other = Key(1, 0);
  other.manifest_sha256 += "n";
  EXPECT_NE(Flat(PackPlan::Make(pieces, kMaxLength, other)), first);
  other = Key(1, 0);
  other.stream_digest += "t";
  EXPECT_NE(Flat(PackPlan::Make(pieces, kMaxLength, other)), first);
}

TEST(PackPlan, KeepsSplitOrderWithoutShuffle) {
  const std::vector<Piece> pieces = {{60}, {50}, {30}, {10}, {45}};
  const PackPlan plan = PackPlan::Make(pieces, 100, Key(1, 0, false));
  EXPECT_EQ(Flat(plan), (std::vector<uint32_t>{0xFFFFFFFF, 0, 2, 3, 0xFFFFFFFF, 1, 4}));
}

TEST(PackPlan, FillsRowsOfRealisticPieces) {
  for (const size_t count : {500U, 100'000U}) {
    PhiloxStream random(9, count);
    const std::vector<Piece> pieces = RealisticPieces(count, &random);
    const PackPlan plan = PackPlan::Make(pieces, kMaxLength, Key(42, 0));
    double ids = 0;
    for (int64_t row = 0; row < plan.num_rows(); ++row) ids += static_cast<double>(plan.IdsOf(row));
    const double fill = ids / (static_cast<double>(plan.num_rows()) * kMaxLength);
    EXPECT_GE(fill, 0.97) << count << " pieces";
    RecordProperty(Cat("fill_of_", count, "_pieces"), Cat(fill));
  }
}

TEST(PackPlan, OfNothingHasNoRows) {
  EXPECT_EQ(PackPlan::Make({}, kMaxLength, Key(0, 0)).num_rows(), 0);
  EXPECT_EQ(PackPlan().num_rows(), 0);
}

}  // namespace
}  // namespace anamnesis::stream
