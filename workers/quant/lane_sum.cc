// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/lane_sum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

namespace anamnesis::quant {
namespace {

constexpr size_t kRows = 4;    // interleaved partial sums
constexpr size_t kLevels = 4;  // of the cascade

size_t CeilLog2(size_t x) { return x <= 2 ? 1 : static_cast<size_t>(std::bit_width(x - 1)); }

// Adds `count` vectors of kLanes numbers, lane by lane.
template <size_t kLanes>
std::array<float, kLanes> SumOfVectors(const float* values, size_t count) {
  using Rows = std::array<std::array<float, kLanes>, kRows>;
  std::array<Rows, kLevels> sums{};
  const auto add = [](Rows* to, const auto& from) {
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t lane = 0; lane < kLanes; ++lane) (*to)[row][lane] += from(row, lane);
    }
  };
  const auto add_vectors = [&](size_t step) {  // the next kRows vectors
    const float* at = values + step * kRows * kLanes;
    add(&sums[0], [&](size_t row, size_t lane) { return at[row * kLanes + lane]; });
  };
  const size_t steps = count / kRows;
  const size_t power = std::max<size_t>(4, CeilLog2(steps) / kLevels);
  const size_t chunk = size_t{1} << power;
  size_t step = 0;
  while (step + chunk <= steps) {
    for (size_t i = 0; i < chunk; ++i) add_vectors(step++);
    for (size_t level = 1; level < kLevels; ++level) {
      add(&sums[level], [&](size_t row, size_t lane) { return sums[level - 1][row][lane]; });
      sums[level - 1] = Rows{};
      if ((step & ((chunk - 1) << (level * power))) != 0) break;
    }
  }
  while (step < steps) add_vectors(step++);
  Rows& total = sums[0];
  for (size_t level = 1; level < kLevels; ++level) {
    add(&total, [&](size_t row, size_t lane) { return sums[level][row][lane]; });
  }
  for (size_t i = steps * kRows; i < count; ++i) {
    for (size_t lane = 0; lane < kLanes; ++lane) total[0][lane] += values[i * kLanes + lane];
  }
  for (size_t row = 1; row < kRows; ++row) {
    for (size_t lane = 0; lane < kLanes; ++lane) total[0][lane] += total[row][lane];
  }
  return total[0];
}

}  // namespace

float LaneSum(std::span<const float> values) {
  constexpr size_t kLanes = 8;
  if (values.size() < kLanes) return SumOfVectors<1>(values.data(), values.size())[0];
  const size_t vectors = values.size() / kLanes;
  const std::array<float, kLanes> lanes = SumOfVectors<kLanes>(values.data(), vectors);
  float sum = 0;
  for (const float value : values.subspan(vectors * kLanes)) sum += value;
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace anamnesis::quant
