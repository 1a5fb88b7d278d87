// SPDX-License-Identifier: Apache-2.0
// Signatures and fixed lengths of zip records (PKWARE's APPNOTE.TXT 6.3.10, section 4.3).
#pragma once

#include <cstdint>

namespace anamnesis::torch_file::zip {

inline constexpr uint32_t kLocalSignature = 0x04034B50, kDescriptorSignature = 0x08074B50,
                          kCentralSignature = 0x02014B50, kEnd64Signature = 0x06064B50,
                          kLocatorSignature = 0x07064B50, kEndSignature = 0x06054B50;
inline constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEnd64Bytes = 56,
                          kLocatorBytes = 20, kEndBytes = 22;
// "See the zip64 field".
inline constexpr uint32_t kNone32 = 0xFFFFFFFF;
inline constexpr uint16_t kNone16 = 0xFFFF;
inline constexpr uint16_t kZip64Tag = 0x0001;
// PyTorch's padding before the data of an entry ("FB").
inline constexpr uint16_t kPaddingTag = 0x4246;

}  // namespace anamnesis::torch_file::zip
