// SPDX-License-Identifier: Apache-2.0
#include "workers/stream/pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "common/base/philox.h"

namespace anamnesis::stream {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Borders = std::vector<uint32_t>;

TEST(CutIntoPieces, LeavesAShortDocumentWhole) {
  EXPECT_THAT(CutIntoPieces(Borders{3, 5}, 8, 8), ElementsAre(8));
  EXPECT_THAT(CutIntoPieces(Borders{}, 0, 8), IsEmpty());
  EXPECT_THAT(CutIntoPieces(Borders{}, 1, 8), ElementsAre(1));
}

TEST(CutIntoPieces, CutsOnTheLastPhraseBorderThatFits) {
  EXPECT_THAT(CutIntoPieces(Borders{3, 6, 9, 12}, 15, 8), ElementsAre(6, 6, 3));
  EXPECT_THAT(CutIntoPieces(Borders{4, 8, 12}, 16, 8), ElementsAre(8, 8));
}

TEST(CutIntoPieces, SplitsAPhraseThatDoesNotFit) {
  EXPECT_THAT(CutIntoPieces(Borders{3}, 23, 8), ElementsAre(3, 8, 8, 4));
  EXPECT_THAT(CutIntoPieces(Borders{3, 20}, 23, 8), ElementsAre(3, 8, 8, 4))
      << "what is left of the long phrase goes on with the next one";
}

TEST(CutIntoPieces, LeavesNoIdAlone) {
  EXPECT_THAT(CutIntoPieces(Borders{}, 9, 8), ElementsAre(7, 2));
  EXPECT_THAT(CutIntoPieces(Borders{1}, 12, 8), ElementsAre(8, 4));
  EXPECT_THAT(CutIntoPieces(Borders{8}, 9, 8), ElementsAre(7, 2));
}

TEST(CutIntoPieces, KeepsEveryIdAndItsLimitsForRandomDocuments) {
  PhiloxStream random(11, 0);
  for (int round = 0; round < 20'000; ++round) {
    const uint32_t max_length = static_cast<uint32_t>(3 + random.Below(30));
    const uint32_t num_ids = static_cast<uint32_t>(2 + random.Below(200));
    Borders borders;
    uint32_t border = 0;
    const uint64_t step = 1 + random.Below(40);
    while ((border += static_cast<uint32_t>(random.Below(step + 1))) < num_ids) {
      borders.push_back(border);
      if (step == 1 && random.Below(4) == 0) ++border;
    }
    const std::vector<uint32_t> lengths = CutIntoPieces(borders, num_ids, max_length);
    ASSERT_EQ(std::accumulate(lengths.begin(), lengths.end(), 0U), num_ids) << "round " << round;
    ASSERT_GE(*std::min_element(lengths.begin(), lengths.end()), 2U) << "round " << round;
    ASSERT_LE(*std::max_element(lengths.begin(), lengths.end()), max_length) << "round " << round;
  }
}

}  // namespace
}  // namespace anamnesis::stream
