// SPDX-License-Identifier: Apache-2.0
// The signed dynamic 8-bit numbers in [−1, 1] that hold quantised block scales (Dettmers 2016,
// "8-Bit Approximations for Parallelism in Deep Learning"; bitsandbytes create_dynamic_map).
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace anamnesis::quant {

inline constexpr int64_t kNestedBlockSize = 256;

// The 256 numbers, ascending: 0, 1, and ±10^(i−6) times the middles of 2^i equal parts of [0.1, 1],
// i = 0…6, in fp32.
const std::array<float, 256>& DynamicMap();

// One block of at most kNestedBlockSize finite numbers: returns its largest magnitude m and writes
// the code of each value/m. The code is that of the nearest of 65,536 equal steps of [−1, 1], as
// bitsandbytes' CPU library finds it (cpu_ops.cpp), not of the value itself. A block of zeros has
// code 0, which m = 0 makes zero.
float EncodeDynamicBlock(std::span<const float> values, uint8_t* codes);

}  // namespace anamnesis::quant
