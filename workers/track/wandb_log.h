// SPDX-License-Identifier: Apache-2.0
// The transaction log run-<id>.wandb: a 7-byte header (":W&B", u16 0xBEE1, version 0), then records
// framed as in LevelDB's log (github.com/google/leveldb doc/log_format.md): blocks of 32 KiB
// counted from the start of the file, chunks of CRC (u32), size (u16), type (full, first, middle,
// last) and data, none across a block's end. Other than LevelDB's, the CRC is the plain CRC-32
// (IEEE) over type and data. Little-endian. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis::track {

inline constexpr std::string_view kWandbLogHeader{":W&B\xe1\xbe\0", 7};

// Frames `record` for a log of `size_bytes` (header included) and appends the chunks to `out`.
void FrameWandbRecord(std::string_view record, uint64_t size_bytes, std::string* out);

struct WandbLog {
  std::vector<std::string> records;
  uint64_t size_bytes = 0;  // up to the end of the last whole record
  std::string torn;         // why that is not the end of the file; "" when it is
};

// kDataLoss when the header is not this format's. A torn or damaged record ends the scan: what is
// before it counts.
StatusOr<WandbLog> ScanWandbLog(std::string_view content);

}  // namespace anamnesis::track
