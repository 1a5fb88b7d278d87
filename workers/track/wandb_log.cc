// SPDX-License-Identifier: Apache-2.0
#include "workers/track/wandb_log.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/crc32.h"

namespace anamnesis::track {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kBlockBytes = 32768;
constexpr size_t kChunkHeaderBytes = 7;

enum ChunkType : char { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

// Over the chunk's type and data.
uint32_t ChunkCrc(char type, std::string_view data) {
  return Crc32(data.data(), data.size(), Crc32(&type, 1));
}

void AppendChunk(char type, std::string_view data, std::string* out) {
  const uint32_t crc = ChunkCrc(type, data);
  const auto size = static_cast<uint16_t>(data.size());
  out->append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  out->append(reinterpret_cast<const char*>(&size), sizeof(size));
  *out += type;
  out->append(data);
}

size_t RoomInBlock(uint64_t at) { return kBlockBytes - static_cast<size_t>(at % kBlockBytes); }

struct Chunk {
  char type = 0;
  std::string_view data;
};

// The chunk at `*at`, behind the padding of a block's end; moves `*at` behind it. Returns why there
// is none, or "".
std::string NextChunk(std::string_view content, uint64_t* at, Chunk* chunk) {
  uint64_t begin = *at;
  if (const size_t room = RoomInBlock(begin); room < kChunkHeaderBytes) begin += room;
  if (begin + kChunkHeaderBytes > content.size()) return Cat("chunk header torn at byte ", begin);
  uint32_t crc = 0;
  uint16_t size = 0;
  std::memcpy(&crc, content.data() + begin, sizeof(crc));
  std::memcpy(&size, content.data() + begin + 4, sizeof(size));
  chunk->type = content[begin + 6];
  if (kChunkHeaderBytes + size > RoomInBlock(begin)) return Cat("chunk too long at byte ", begin);
  if (begin + kChunkHeaderBytes + size > content.size()) return Cat("chunk torn at byte ", begin);
  chunk->data = content.substr(begin + kChunkHeaderBytes, size);
  if (crc != ChunkCrc(chunk->type, chunk->data)) return Cat("checksum differs at byte ", begin);
  *at = begin + kChunkHeaderBytes + size;
  return "";
}

// Likewise for a record, of one chunk or several.
std::string NextRecord(std::string_view content, uint64_t* at, std::string* record) {
  record->clear();
  for (bool first = true;; first = false) {
    Chunk chunk;
    if (std::string why = NextChunk(content, at, &chunk); !why.empty()) return why;
    const bool starts = chunk.type == kFull || chunk.type == kFirst;
    const bool goes_on = chunk.type == kMiddle || chunk.type == kLast;
    if (first ? !starts : !goes_on) return Cat("chunk of type ", int{chunk.type}, " out of order");
    record->append(chunk.data);
    if (chunk.type == kFull || chunk.type == kLast) return "";
  }
}

}  // namespace

void FrameWandbRecord(std::string_view record, uint64_t size_bytes, std::string* out) {
  for (bool first = true;; first = false) {
    size_t room = RoomInBlock(size_bytes);
    if (room < kChunkHeaderBytes) {
      out->append(room, '\0');
      size_bytes += room;
      room = kBlockBytes;
    }
    const std::string_view data = record.substr(0, room - kChunkHeaderBytes);
    record.remove_prefix(data.size());
    const bool last = record.empty();
    AppendChunk(first ? (last ? kFull : kFirst) : (last ? kLast : kMiddle), data, out);
    size_bytes += kChunkHeaderBytes + data.size();
    if (last) return;
  }
}

StatusOr<WandbLog> ScanWandbLog(std::string_view content) {
  if (!content.starts_with(kWandbLogHeader)) {
    return DataLoss("no W&B run file: the first ", kWandbLogHeader.size(),
                    " bytes are not its header");
  }
  WandbLog log;
  log.size_bytes = kWandbLogHeader.size();
  std::string record;
  for (uint64_t at = log.size_bytes; at < content.size(); log.size_bytes = at) {
    log.torn = NextRecord(content, &at, &record);
    if (!log.torn.empty()) break;
    log.records.push_back(record);
  }
  return log;
}

}  // namespace anamnesis::track
