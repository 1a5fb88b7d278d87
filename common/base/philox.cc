// SPDX-License-Identifier: Apache-2.0
#include "common/base/philox.h"

#include <cmath>
#include <numbers>

namespace anamnesis {

std::array<uint32_t, 4> Philox4x32(const PhiloxKey& key, const PhiloxCounter& counter) {
  uint32_t k0 = key.k0;
  uint32_t k1 = key.k1;
  auto [c0, c1, c2, c3] = counter;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

PhiloxStream::PhiloxStream(uint64_t seed, uint64_t stream)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
      counter_{0, 0, static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)} {}

uint32_t PhiloxStream::Next32() {
  if (used_ == 4) {
    block_ = Philox4x32(key_, counter_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

uint64_t PhiloxStream::Next64() {
  const uint64_t low = Next32();
  return low | static_cast<uint64_t>(Next32()) << 32;
}

uint64_t PhiloxStream::Below(uint64_t bound) {
  unsigned __int128 product = static_cast<unsigned __int128>(Next64()) * bound;
  if (static_cast<uint64_t>(product) < bound) {
    const uint64_t threshold = (0 - bound) % bound;
    while (static_cast<uint64_t>(product) < threshold) {
      product = static_cast<unsigned __int128>(Next64()) * bound;
    }
  }
  return static_cast<uint64_t>(product >> 64);
}

double PhiloxStream::Uniform() { return static_cast<double>(Next64() >> 11) * 0x1.0p-53; }

double PhiloxStream::Normal() {
  const double u = 1.0 - Uniform();  // in (0, 1]
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * Uniform());
}

}  // namespace anamnesis
