// SPDX-License-Identifier: Apache-2.0
// The sum of fp32 numbers in the order in which Torch adds a contiguous tensor on one thread of an
// x86 CPU (ATen/native/cpu/SumKernel.cpp: 8 lanes, 4 interleaved rows, 4 cascade levels; it has no
// wider variant). bitsandbytes takes the mean of the block maxima by it, so its bits are part of
// the format. On more threads Torch's own bits vary; these do not.
#pragma once

#include <span>

namespace anamnesis::quant {

float LaneSum(std::span<const float> values);

}  // namespace anamnesis::quant
