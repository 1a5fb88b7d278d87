// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/dynamic_map.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

namespace anamnesis::quant {
namespace {

constexpr int kSteps = 65536;

// torch.linspace(0.1, 1, size) in fp32: from either end to the middle, each product and sum rounded
// once, as Torch's code for CPUs with AVX2 has it.
std::vector<float> Boundaries(int size) {
  const float start = 0.1f, end = 1.0f, step = (end - start) / static_cast<float>(size - 1);
  std::vector<float> out;
  for (int i = 0; i < size; ++i) {
    out.push_back(i < size / 2 ? std::fma(step, static_cast<float>(i), start)
                               : std::fma(-step, static_cast<float>(size - i - 1), end));
  }
  return out;
}

std::array<float, 256> MakeDynamicMap() {
  static constexpr float kPowers[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  std::array<float, 256> map{};
  size_t size = 0;
  for (int i = 0; i < 7; ++i) {
    const std::vector<float> boundaries = Boundaries((1 << i) + 1);
    for (size_t j = 0; j + 1 < boundaries.size(); ++j) {
      const float value = kPowers[i] * ((boundaries[j] + boundaries[j + 1]) / 2.0f);
      map[size++] = value;
      map[size++] = -value;
    }
  }
  map[size++] = 0.0f;
  map[size] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

// The code of each step −1 + 2 i / 65535: the number of middles between neighbours below it.
std::vector<uint8_t> MakeCodeOfStep() {
  const std::array<float, 256>& map = DynamicMap();
  std::vector<uint8_t> codes(kSteps);
  size_t code = 0;
  for (int i = 0; i < kSteps; ++i) {
    const float value = -1.0f + (2.0f * static_cast<float>(i)) / static_cast<float>(kSteps - 1);
    while (code < 255 && 0.5f * (map[code] + map[code + 1]) < value) ++code;
    codes[static_cast<size_t>(i)] = static_cast<uint8_t>(code);
  }
  return codes;
}

// The step nearest to a number in [−1, 1]. The library computes (v + 1)/2 · 65535 + 0.5 with one
// rounding of product and sum; in fp64 both are exact, so one rounding to fp32 is the same. 0 · ∞,
// from a block whose largest magnitude has no reciprocal in fp32, goes to step 0 as there.
size_t StepOf(float value) {
  if (std::isnan(value)) return 0;
  const float half = (std::clamp(value, -1.0f, 1.0f) + 1.0f) * 0.5f;
  return static_cast<size_t>(static_cast<float>(static_cast<double>(half) * (kSteps - 1) + 0.5));
}

}  // namespace

const std::array<float, 256>& DynamicMap() {
  static const std::array<float, 256> map = MakeDynamicMap();
  return map;
}

float EncodeDynamicBlock(std::span<const float> values, uint8_t* codes) {
  static const std::vector<uint8_t> code_of_step = MakeCodeOfStep();
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  if (largest == 0) {
    std::fill_n(codes, values.size(), uint8_t{0});
    return 0;
  }
  const float inverse = 1.0f / largest;
  for (size_t i = 0; i < values.size(); ++i) codes[i] = code_of_step[StepOf(values[i] * inverse)];
  return largest;
}

}  // namespace anamnesis::quant
