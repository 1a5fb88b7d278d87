// SPDX-License-Identifier: Apache-2.0
#include "common/base/crc32c.h"

#include "common/base/crc_tables.h"

namespace anamnesis {
namespace {

constexpr auto kCrc32cTables = MakeCrcTables<4>(0x82F63B78u);

}  // namespace

uint32_t Crc32c(const void* data, size_t size_bytes, uint32_t seed) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t crc = ~seed;
  for (; size_bytes >= 4; size_bytes -= 4, bytes += 4) {
    crc ^= static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
           static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
    crc = kCrc32cTables[3][crc & 255] ^ kCrc32cTables[2][(crc >> 8) & 255] ^
          kCrc32cTables[1][(crc >> 16) & 255] ^ kCrc32cTables[0][crc >> 24];
  }
  for (; size_bytes > 0; --size_bytes, ++bytes)
    crc = (crc >> 8) ^ kCrc32cTables[0][(crc ^ *bytes) & 255];
  return ~crc;
}

}  // namespace anamnesis
