// SPDX-License-Identifier: Apache-2.0
#include "common/base/crc32.h"

#include <cstring>

#include "common/base/crc_tables.h"

namespace anamnesis {
namespace {

constexpr auto kCrc32Tables = MakeCrcTables<8>(0xEDB88320u);

}  // namespace

uint32_t Crc32(const void* data, size_t size_bytes, uint32_t seed) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t state = ~seed;
  for (; size_bytes >= 8; size_bytes -= 8, bytes += 8) {
    uint32_t low = 0, high = 0;
    std::memcpy(&low, bytes, 4);
    std::memcpy(&high, bytes + 4, 4);
    low ^= state;
    state = kCrc32Tables[7][low & 0xFF] ^ kCrc32Tables[6][(low >> 8) & 0xFF] ^
            kCrc32Tables[5][(low >> 16) & 0xFF] ^ kCrc32Tables[4][low >> 24] ^
            kCrc32Tables[3][high & 0xFF] ^ kCrc32Tables[2][(high >> 8) & 0xFF] ^
            kCrc32Tables[1][(high >> 16) & 0xFF] ^ kCrc32Tables[0][high >> 24];
  }
  for (; size_bytes > 0; --size_bytes, ++bytes) {
    state = (state >> 8) ^ kCrc32Tables[0][(state ^ *bytes) & 0xFF];
  }
  return ~state;
}

}  // namespace anamnesis
