// SPDX-License-Identifier: Apache-2.0
// CRC-32 (IEEE 802.3, polynomial 0x04C11DB7 reflected): that of zip files and of zlib. Eight bytes
// a step.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anamnesis {

// CRC of `data`; pass the previous result as `seed` to continue over several buffers.
uint32_t Crc32(const void* data, size_t size_bytes, uint32_t seed = 0);

}  // namespace anamnesis
