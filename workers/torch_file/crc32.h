// SPDX-License-Identifier: Apache-2.0
// The CRC-32 of zip files (IEEE 802.3: polynomial 0x04C11DB7, reflected, start and end inverted),
// eight bytes a step. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anamnesis::torch_file {

// Goes on from `crc`, the value for the bytes before; 0 for none.
uint32_t Crc32(uint32_t crc, const void* data, size_t size_bytes);

}  // namespace anamnesis::torch_file
