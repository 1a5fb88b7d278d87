// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10, the counter-based random generator of Salmon et al. 2011 ("Parallel random
// numbers: as easy as 1, 2, 3", section 4.3). A pure function of key and counter: there is no state
// to save or to lose.
#pragma once

#include <array>
#include <cstdint>

namespace anamnesis {

struct PhiloxKey {
  uint32_t k0 = 0;
  uint32_t k1 = 0;
};

using PhiloxCounter = std::array<uint32_t, 4>;

// Four 32-bit random words for one counter.
std::array<uint32_t, 4> Philox4x32(const PhiloxKey& key, const PhiloxCounter& counter);

// A sequential view of one Philox stream for code that wants "the next number" (data generation,
// shuffles, initialisation). `stream` separates independent uses of one seed. Thread-compatible.
class PhiloxStream {
 public:
  PhiloxStream(uint64_t seed, uint64_t stream);

  uint32_t Next32();
  uint64_t Next64();
  // Uniform in [0, bound), without modulo bias (Lemire 2019). bound > 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [0, 1), 53 bits.
  double Uniform();
  // Standard normal (Box-Muller; no cached second value, so that the position stays a pure count).
  double Normal();

 private:
  PhiloxKey key_;
  PhiloxCounter counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace anamnesis
