// SPDX-License-Identifier: Apache-2.0
// Tables of a reflected 32-bit CRC for slicing by N bytes (Kounavis and Berry 2008): [k][b] is the
// CRC of byte b followed by k zero bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace anamnesis {

template <size_t N>
constexpr std::array<std::array<uint32_t, 256>, N> MakeCrcTables(uint32_t reflected_polynomial) {
  std::array<std::array<uint32_t, 256>, N> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? reflected_polynomial : 0u);
    }
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < N; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t previous = tables[k - 1][byte];
      tables[k][byte] = (previous >> 8) ^ tables[0][previous & 255];
    }
  }
  return tables;
}

}  // namespace anamnesis
