// SPDX-License-Identifier: Apache-2.0
// NF4 with double quantisation (Dettmers et al. 2023, "QLoRA", sections 2 and 3), bit for bit as
// bitsandbytes 0.50 computes it on a CPU: blocks of 64 numbers share one scale, their largest
// magnitude; a number is the nearest of 16 quantiles of the normal distribution times that scale;
// scales less their mean are in turn held in 8 bits, 256 of them to one fp32 scale. That is
// 4 + 8/64 + 32/(64 · 256) = 4.127 bits a number.
//
//   scale[b] = nested_map[absmax_codes[b]] · nested_absmax[b / 256] + nested_offset
//   value[i] = kNf4Values[code[i]] · scale[i / 64]           both in fp32, each step rounded
//
// Torch-free. Results do not depend on threads: blocks are independent, sums have a fixed order.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::quant {

inline constexpr int64_t kNf4BlockSize = 64;

// Quantiles of N(0, 1), scaled to [−1, 1], with an exact zero (QLoRA, appendix E).
inline constexpr std::array<float, 16> kNf4Values = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// A quantised tensor, row-major, without its shape. Thread-compatible.
struct Nf4Data {
  int64_t num_elements = 0;
  std::vector<uint8_t> codes;         // [⌈elements / 2⌉]: even elements in the high four bits
  std::vector<uint8_t> absmax_codes;  // [blocks], or empty: scales are in `absmax`
  std::vector<float> nested_absmax;   // [⌈blocks / 256⌉]
  std::vector<float> nested_map;      // [256], or empty: DynamicMap()
  float nested_offset = 0;
  std::vector<float> absmax;  // [blocks], only where a checkpoint has no double quantisation

  int64_t num_blocks() const { return (num_elements + kNf4BlockSize - 1) / kNf4BlockSize; }
  int64_t bytes() const;  // of all arrays
  float Scale(int64_t block) const;
};

enum class SourceType { kF32, kBF16, kF16 };

// Quantises a tensor that is given piece by piece.
class Nf4Encoder {
 public:
  explicit Nf4Encoder(int64_t num_elements);

  // `values` holds `count` elements of `type` from element `first` on, a multiple of 64; count is
  // one too, unless the piece ends the tensor. Pieces may be added in any order, and from several
  // threads when they do not overlap. kInvalidArgument names the element that is NaN or infinite.
  Status Add(int64_t first, const void* values, SourceType type, int64_t count);

  // When every element has been added. kInvalidArgument: magnitudes so large that their mean is not
  // finite in fp32.
  StatusOr<Nf4Data> Finish() &&;

 private:
  Nf4Data data_;
  std::vector<float> absmax_;
};

// Values of the blocks [first, last), at most up to the tensor's end, in fp32 or rounded to bf16.
void DecodeNf4(const Nf4Data& data, int64_t first_block, int64_t last_block, float* out);
void DecodeNf4(const Nf4Data& data, int64_t first_block, int64_t last_block, uint16_t* out_bf16);

}  // namespace anamnesis::quant
