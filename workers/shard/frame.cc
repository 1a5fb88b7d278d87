// SPDX-License-Identifier: Apache-2.0
#include "workers/shard/frame.h"

#include <zstd.h>

#include <memory>

#include "common/base/crc32c.h"

namespace anamnesis::shard {
namespace {

// Fixed, since the bytes of a set must not depend on anything but its inputs.
constexpr int kCompressionLevel = 9;
constexpr size_t kCrcOffset = 12;

// A context is megabytes: each thread keeps one, so that memory neither grows nor swings with the
// number of frames.
ZSTD_CCtx* ThreadContext() {
  thread_local const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                                ZSTD_freeCCtx);
  return context.get();
}

}  // namespace

StatusOr<std::string> EncodeFrame(std::string_view magic, std::string_view payload) {
  if (payload.size() > kMaxPayloadBytes) {
    return ResourceExhausted("a frame of ", payload.size(),
                             " bytes is above the format's limit of ", kMaxPayloadBytes, " bytes");
  }
  std::string frame(kFrameHeaderBytes + ZSTD_compressBound(payload.size()), '\0');
  ZSTD_CCtx* context = ThreadContext();
  if (context == nullptr) return ResourceExhausted("zstd: no memory for a compression context");
  const size_t stored =
      ZSTD_compressCCtx(context, frame.data() + kFrameHeaderBytes, frame.size() - kFrameHeaderBytes,
                        payload.data(), payload.size(), kCompressionLevel);
  if (ZSTD_isError(stored) != 0) return Internal("zstd: ", ZSTD_getErrorName(stored));
  frame.resize(kFrameHeaderBytes + stored);
  std::string header(magic);
  AppendFixed32(static_cast<uint32_t>(payload.size()), &header);
  AppendFixed32(static_cast<uint32_t>(stored), &header);
  uint32_t crc = Crc32c(header.data(), header.size());
  crc = Crc32c(frame.data() + kFrameHeaderBytes, stored, crc);
  AppendFixed32(crc, &header);
  frame.replace(0, kFrameHeaderBytes, header);
  return frame;
}

Status DecodeFrame(std::string_view magic, std::string_view frame, std::string* payload) {
  if (frame.size() < kFrameHeaderBytes) {
    return DataLoss("a frame of ", frame.size(), " bytes, expected at least ", kFrameHeaderBytes);
  }
  if (frame.substr(0, 4) != magic) return DataLoss("wrong frame magic, expected ", magic);
  const uint32_t payload_bytes = LoadFixed32(frame.data() + 4);
  const uint32_t stored_bytes = LoadFixed32(frame.data() + 8);
  if (stored_bytes != frame.size() - kFrameHeaderBytes) {
    return DataLoss("frame says ", stored_bytes, " stored bytes, found ",
                    frame.size() - kFrameHeaderBytes);
  }
  if (payload_bytes > kMaxPayloadBytes) {
    return DataLoss("frame says ", payload_bytes, " bytes of content, above the limit of ",
                    kMaxPayloadBytes);
  }
  const char* stored = frame.data() + kFrameHeaderBytes;
  const uint32_t found = Crc32c(stored, stored_bytes, Crc32c(frame.data(), kCrcOffset));
  const uint32_t expected = LoadFixed32(frame.data() + kCrcOffset);
  if (found != expected) {
    return DataLoss("CRC-32C 0x", std::hex, found, " != 0x", expected);
  }
  // The declared size is checked against the compressed frame before memory is taken for it.
  if (ZSTD_getFrameContentSize(stored, stored_bytes) != payload_bytes) {
    return DataLoss("compressed content does not have the ", payload_bytes,
                    " bytes it should have");
  }
  payload->resize(payload_bytes);
  const size_t got = ZSTD_decompress(payload->data(), payload->size(), stored, stored_bytes);
  if (ZSTD_isError(got) != 0) return DataLoss("zstd: ", ZSTD_getErrorName(got));
  if (got != payload_bytes) {
    return DataLoss("content of ", got, " bytes, expected ", payload_bytes);
  }
  return absl::OkStatus();
}

void AppendFixed32(uint32_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

void AppendFixed64(uint64_t value, std::string* out) {
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

uint32_t LoadFixed32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

uint64_t LoadFixed64(const char* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

bool ByteCursor::LongVarint(uint64_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(rest_[i]);
    if (i == 9 && byte > 1) return false;  // more than 64 bits
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      *value = result;
      return true;
    }
  }
  return false;
}

bool ByteCursor::Byte(uint8_t* value) {
  if (rest_.empty()) return false;
  *value = static_cast<uint8_t>(rest_[0]);
  rest_.remove_prefix(1);
  return true;
}

bool ByteCursor::Bytes(uint64_t size_bytes, std::string_view* value) {
  if (size_bytes > rest_.size()) return false;
  *value = rest_.substr(0, size_bytes);
  rest_.remove_prefix(size_bytes);
  return true;
}

}  // namespace anamnesis::shard
