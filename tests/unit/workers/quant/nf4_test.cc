// SPDX-License-Identifier: Apache-2.0
// Bits are compared with bitsandbytes in tests/golden/nf4_golden_test.cc; here are the properties.
#include "workers/quant/nf4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "common/base/philox.h"
#include "workers/quant/small_float.h"

namespace anamnesis::quant {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<float> RandomValues(int64_t size, uint64_t seed = 1) {
  std::vector<float> values(static_cast<size_t>(size));
  PhiloxStream random(seed, 0);
  for (float& value : values) value = static_cast<float>(random.Uniform() * 2 - 1);
  return values;
}

StatusOr<Nf4Data> Encode(const std::vector<float>& values) {
  const auto size = static_cast<int64_t>(values.size());
  Nf4Encoder encoder(size);
  ANAM_RETURN_IF_ERROR(encoder.Add(0, values.data(), SourceType::kF32, size));
  return std::move(encoder).Finish();
}

std::vector<float> Decoded(const Nf4Data& data) {
  std::vector<float> out(static_cast<size_t>(data.num_elements));
  DecodeNf4(data, 0, data.num_blocks(), out.data());
  return out;
}

TEST(Nf4, TakesAtMost4Point13BitsANumber) {
  const int64_t size = 2048 * 256;
  const auto data = Encode(RandomValues(size));
  ASSERT_TRUE(data.ok()) << data.status();
  const double bits = 8.0 * static_cast<double>(data->bytes()) / static_cast<double>(size);
  EXPECT_LE(bits, 4.13);
  EXPECT_GE(bits, 4.12);
}

TEST(Nf4, ValueIsWithinHalfTheWidestGapOfItsBlocksScale) {
  for (const int64_t size : {1, 63, 64, 65, 127, 128, 6400, 64 * 257 + 5}) {
    const std::vector<float> values = RandomValues(size, static_cast<uint64_t>(size));
    const auto data = Encode(values);
    ASSERT_TRUE(data.ok()) << data.status();
    const std::vector<float> back = Decoded(*data);
    for (size_t i = 0; i < values.size(); ++i) {
      // Half of −1 … −0.696, and what the scale loses in 8 bits.
      ASSERT_LE(std::fabs(values[i] - back[i]), 0.152 + 0.03) << i << " of " << size;
    }
  }
}

TEST(Nf4, EndsAndZeroOfABlockAreKept) {
  std::vector<float> values(64, 0.0f);
  values[3] = 2.5f;
  values[4] = -2.5f;
  const auto data = Encode(values);
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(Decoded(*data), values);  // one block: its scale is the mean, exact
  EXPECT_EQ(data->codes[1], 0x7F);    // the earlier element in the high bits
  EXPECT_EQ(data->codes[2], 0x07);
}

TEST(Nf4, ZerosStayZeros) {
  for (const int64_t size : {64, 65, 640, 1}) {
    const auto data = Encode(std::vector<float>(static_cast<size_t>(size), 0.0f));
    ASSERT_TRUE(data.ok());
    EXPECT_THAT(data->codes, Each(0x77)) << size;
    EXPECT_THAT(Decoded(*data), Each(0.0f)) << size;
  }
}

TEST(Nf4, AnEmptyTensorIsEmpty) {
  const auto data = Encode({});
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(data->num_blocks(), 0);
  EXPECT_TRUE(data->codes.empty());
}

TEST(Nf4, NotANumberAndInfinityAreRefusedByPlace) {
  for (const auto& [value, name] :
       {std::pair(std::nanf(""), "NaN"),
        std::pair(std::numeric_limits<float>::infinity(), "infinite"),
        std::pair(-std::numeric_limits<float>::infinity(), "infinite")}) {
    std::vector<float> values = RandomValues(200);
    values[130] = value;
    const auto data = Encode(values);
    EXPECT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(MessageOf(data.status()), HasSubstr(Cat("element 130 of 200 is ", name)));
  }
}

TEST(Nf4, MagnitudesWhoseMeanOverflowsAreRefused) {
  const auto data = Encode(std::vector<float>(1000, 3e38f));
  EXPECT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(data.status()), HasSubstr("cannot be quantised"));
}

TEST(Nf4, PiecesInAnyOrderAndThreadGiveTheSameBits) {
  const int64_t size = 64 * 1000 + 17;
  const std::vector<float> values = RandomValues(size);
  const auto whole = Encode(values);
  Nf4Encoder encoder(size);
  std::vector<std::thread> threads;
  for (const int64_t first : {64 * 700, 0, 64 * 300}) {
    threads.emplace_back([&, first] {
      const int64_t last = first == 0 ? 64 * 300 : first == 64 * 300 ? 64 * 700 : size;
      EXPECT_TRUE(encoder.Add(first, values.data() + first, SourceType::kF32, last - first).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto pieces = std::move(encoder).Finish();
  ASSERT_TRUE(pieces.ok());
  EXPECT_EQ(pieces->codes, whole->codes);
  EXPECT_EQ(pieces->absmax_codes, whole->absmax_codes);
  EXPECT_EQ(pieces->nested_absmax, whole->nested_absmax);
  EXPECT_EQ(pieces->nested_offset, whole->nested_offset);
}

TEST(Nf4, SixteenBitSourcesGiveTheCodesOfTheirFp32Values) {
  const int64_t size = 64 * 5 + 3;
  std::vector<float> wide = RandomValues(size);
  std::vector<uint16_t> narrow;
  for (float& value : wide) {
    narrow.push_back(ToBFloat16(value));
    value = FromBFloat16(narrow.back());
  }
  Nf4Encoder encoder(size);
  ASSERT_TRUE(encoder.Add(0, narrow.data(), SourceType::kBF16, size).ok());
  EXPECT_EQ(std::move(encoder).Finish()->codes, Encode(wide)->codes);
  const std::vector<uint16_t> halves = {0x3C00, 0xC000, 0x3800};  // 1, −2, 0.5
  Nf4Encoder half_encoder(3);
  ASSERT_TRUE(half_encoder.Add(0, halves.data(), SourceType::kF16, 3).ok());
  EXPECT_EQ(std::move(half_encoder).Finish()->codes, Encode({1.0f, -2.0f, 0.5f})->codes);
}

TEST(Nf4, ARangeOfBlocksDecodesAsTheWhole) {
  const std::vector<float> values = RandomValues(64 * 9 + 31);
  const Nf4Data data = *Encode(values);
  const std::vector<float> whole = Decoded(data);
  std::vector<float> part(64 * 3 + 31);
  DecodeNf4(data, 6, 10, part.data());
  EXPECT_EQ(part, std::vector<float>(whole.begin() + 64 * 6, whole.end()));
  std::vector<uint16_t> narrow(whole.size());
  DecodeNf4(data, 0, 10, narrow.data());
  for (size_t i = 0; i < whole.size(); ++i) ASSERT_EQ(narrow[i], ToBFloat16(whole[i])) << i;
}

TEST(Nf4, ScalesWithoutDoubleQuantisationAreUsedAsTheyAre) {
  Nf4Data data;
  data.num_elements = 3;
  data.codes = {0xF0, 0xE7};
  data.absmax = {0.5f};
  EXPECT_THAT(Decoded(data), ElementsAre(0.5f, -0.5f, 0.5f * 0.7229568362236023f));
}

}  // namespace
}  // namespace anamnesis::quant
