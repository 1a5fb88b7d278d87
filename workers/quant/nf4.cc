// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/nf4.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "workers/quant/dynamic_map.h"
#include "workers/quant/lane_sum.h"
#include "workers/quant/small_float.h"

namespace anamnesis::quant {
namespace {

constexpr size_t kBlock = kNf4BlockSize;
// Smaller scales have no finite reciprocal. Below it the scale of a short last block is raised to
// it and stored so; a whole block's is stored as it is (bitsandbytes' quantize_4bit).
constexpr float kLeastScale = 1e-38f;

constexpr std::array<float, 15> Middles() {
  std::array<float, 15> out{};
  for (size_t i = 0; i < out.size(); ++i) out[i] = (kNf4Values[i] + kNf4Values[i + 1]) / 2.0f;
  return out;
}
constexpr std::array<float, 15> kMiddles = Middles();

// fp32 values of a block's worth of the source.
void Widen(const void* from, SourceType type, size_t count, float* out) {
  const auto* small = static_cast<const uint16_t*>(from);
  switch (type) {
    case SourceType::kF32:
      std::memcpy(out, from, count * sizeof(float));
      break;
    case SourceType::kBF16:
      for (size_t i = 0; i < count; ++i) out[i] = FromBFloat16(small[i]);
      break;
    case SourceType::kF16:
      for (size_t i = 0; i < count; ++i) out[i] = FromHalf(small[i]);
      break;
  }
}

// The largest magnitude; NaN or infinity when one of the values is not finite.
float LargestMagnitude(const float* values, size_t count) {
  uint32_t largest = 0;  // magnitudes are ordered as their bits are, NaN above all
  for (size_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7FFFFFFF);
  }
  return std::bit_cast<float>(largest);
}

bool IsFinite(float value) { return (std::bit_cast<uint32_t>(value) & 0x7F800000) != 0x7F800000; }

// Codes of `count` values in [−1, 1]: the number of middles below each.
void NearestCodes(const float* scaled, size_t count, uint8_t* codes) {
  std::array<int32_t, kBlock> below{};
  for (const float middle : kMiddles) {
    for (size_t i = 0; i < count; ++i) below[i] += scaled[i] > middle ? 1 : 0;
  }
  std::array<uint8_t, kBlock + 1> nibbles;
  for (size_t i = 0; i < count; ++i) nibbles[i] = static_cast<uint8_t>(below[i]);
  nibbles[count] = 7;  // of zero, after an odd number of elements
  for (size_t i = 0; i < count; i += 2) {
    codes[i / 2] = static_cast<uint8_t>(nibbles[i] << 4 | nibbles[i + 1]);
  }
}

// Encodes one block; returns its scale.
float EncodeBlock(const float* values, size_t count, uint8_t* codes) {
  float scale = LargestMagnitude(values, count);
  std::array<float, kBlock> scaled;
  if (count == kBlock) {
    const float inverse = 1.0f / std::max(scale, kLeastScale);
    for (size_t i = 0; i < kBlock; ++i) scaled[i] = std::clamp(values[i] * inverse, -1.0f, 1.0f);
  } else {
    scale = std::max(scale, kLeastScale);
    for (size_t i = 0; i < count; ++i) scaled[i] = std::clamp(values[i] / scale, -1.0f, 1.0f);
  }
  NearestCodes(scaled.data(), count, codes);
  return scale;
}

void Store(float value, float* out) { *out = value; }
void Store(float value, uint16_t* out) { *out = ToBFloat16(value); }

template <typename Out>
void Decode(const Nf4Data& data, int64_t first_block, int64_t last_block, Out* out) {
  for (int64_t block = first_block; block < last_block; ++block) {
    const float scale = data.Scale(block);
    std::array<Out, 16> values;
    for (size_t code = 0; code < 16; ++code) Store(kNf4Values[code] * scale, &values[code]);
    const int64_t start = block * kNf4BlockSize;
    const int64_t count = std::min(kNf4BlockSize, data.num_elements - start);
    const uint8_t* codes = data.codes.data() + start / 2;
    for (int64_t i = 0; i + 1 < count; i += 2) {
      const uint8_t pair = codes[i / 2];
      out[i] = values[pair >> 4];
      out[i + 1] = values[pair & 15];
    }
    if (count % 2 != 0) out[count - 1] = values[codes[count / 2] >> 4];
    out += count;
  }
}

}  // namespace

int64_t Nf4Data::bytes() const {
  const size_t floats = nested_absmax.size() + nested_map.size() + absmax.size() + 1;
  return static_cast<int64_t>(codes.size() + absmax_codes.size() + floats * sizeof(float));
}

float Nf4Data::Scale(int64_t block) const {
  const auto index = static_cast<size_t>(block);
  if (absmax_codes.empty()) return absmax[index];
  const float* map = nested_map.empty() ? DynamicMap().data() : nested_map.data();
  const float product = map[absmax_codes[index]] * nested_absmax[index / kNestedBlockSize];
  return product + nested_offset;
}

Nf4Encoder::Nf4Encoder(int64_t num_elements) {
  ANAM_CHECK(num_elements >= 0);
  data_.num_elements = num_elements;
  data_.codes.resize(static_cast<size_t>((num_elements + 1) / 2));
  absmax_.resize(static_cast<size_t>(data_.num_blocks()));
}

Status Nf4Encoder::Add(int64_t first, const void* values, SourceType type, int64_t count) {
  ANAM_CHECK(first % kNf4BlockSize == 0 && first + count <= data_.num_elements &&
             (count % kNf4BlockSize == 0 || first + count == data_.num_elements));
  const size_t element_bytes = type == SourceType::kF32 ? sizeof(float) : sizeof(uint16_t);
  std::array<float, kBlock> wide;
  for (int64_t start = 0; start < count; start += kNf4BlockSize) {
    const auto size = static_cast<size_t>(std::min(kNf4BlockSize, count - start));
    Widen(static_cast<const std::byte*>(values) + static_cast<size_t>(start) * element_bytes, type,
          size, wide.data());
    const int64_t at = first + start;
    const float scale = EncodeBlock(wide.data(), size, data_.codes.data() + at / 2);
    if (!IsFinite(scale)) {
      const auto bad = std::find_if_not(wide.begin(), wide.end(), IsFinite);
      return InvalidArgument("element ", at + (bad - wide.begin()), " of ", data_.num_elements,
                             " is ", *bad != *bad ? "NaN" : "infinite",
                             ": such a tensor cannot be quantised");
    }
    absmax_[static_cast<size_t>(at / kNf4BlockSize)] = scale;
  }
  return absl::OkStatus();
}

StatusOr<Nf4Data> Nf4Encoder::Finish() && {
  const size_t blocks = absmax_.size();
  data_.absmax_codes.resize(blocks);
  if (blocks > 0) data_.nested_offset = LaneSum(absmax_) / static_cast<float>(blocks);
  for (float& scale : absmax_) scale -= data_.nested_offset;
  for (size_t start = 0; start < blocks; start += kNestedBlockSize) {
    const std::span<const float> scales =
        std::span(absmax_).subspan(start, std::min<size_t>(kNestedBlockSize, blocks - start));
    data_.nested_absmax.push_back(EncodeDynamicBlock(scales, data_.absmax_codes.data() + start));
  }
  for (int64_t block = 0; block < data_.num_blocks(); ++block) {
    if (!IsFinite(data_.Scale(block))) {
      return InvalidArgument("magnitudes up to the end of fp32: such a tensor cannot be quantised");
    }
  }
  return std::move(data_);
}

void DecodeNf4(const Nf4Data& data, int64_t first_block, int64_t last_block, float* out) {
  Decode(data, first_block, last_block, out);
}

void DecodeNf4(const Nf4Data& data, int64_t first_block, int64_t last_block, uint16_t* out_bf16) {
  Decode(data, first_block, last_block, out_bf16);
}

}  // namespace anamnesis::quant
