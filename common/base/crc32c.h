// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected; RFC 3720 appendix B.4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace anamnesis {

// CRC of `data`; pass the previous result as `seed` to continue over several buffers.
uint32_t Crc32c(const void* data, size_t size_bytes, uint32_t seed = 0);

}  // namespace anamnesis
