// SPDX-License-Identifier: Apache-2.0
// Frames and integers of the shard format (docs/formats/shards.md): a compressed, checksummed unit
// of bytes, and varints. Thread-safe. Errors: kDataLoss with what did not fit; callers add the
// file's name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace anamnesis::shard {

inline constexpr size_t kFrameHeaderBytes = 16;
inline constexpr uint32_t kMaxPayloadBytes = 256u << 20;

inline constexpr char kPhrasesMagic[] = "ANPH";
inline constexpr char kBlockMagic[] = "ANBL";
inline constexpr char kIndexMagic[] = "ANIX";

// Compresses `payload` into a frame with the 4-byte `magic`. kResourceExhausted above
// kMaxPayloadBytes.
StatusOr<std::string> EncodeFrame(std::string_view magic, std::string_view payload);

// The payload of `frame`, which must be exactly one intact frame of this magic.
Status DecodeFrame(std::string_view magic, std::string_view frame, std::string* payload);

void AppendFixed32(uint32_t value, std::string* out);
void AppendFixed64(uint64_t value, std::string* out);
uint32_t LoadFixed32(const char* bytes);
uint64_t LoadFixed64(const char* bytes);

void AppendVarint(uint64_t value, std::string* out);
inline uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Takes integers and bytes off the front of a buffer; every call fails (false) instead of reading
// past the end.
class ByteCursor {
 public:
  explicit ByteCursor(std::string_view bytes) : rest_(bytes) {}
  bool Varint(uint64_t* value) {
    if (!rest_.empty() && static_cast<unsigned char>(rest_[0]) < 0x80) {  // the common case
      *value = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      return true;
    }
    return LongVarint(value);
  }
  bool Byte(uint8_t* value);
  bool Bytes(uint64_t size_bytes, std::string_view* value);
  bool empty() const { return rest_.empty(); }
  size_t size() const { return rest_.size(); }

 private:
  bool LongVarint(uint64_t* value);
  std::string_view rest_;
};

}  // namespace anamnesis::shard
