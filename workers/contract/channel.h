// SPDX-License-Identifier: Apache-2.0
// The wire between a worker and one of its ranks: an inherited AF_UNIX stream socket, frames of a
// little-endian 32-bit length and that many bytes of JSON, both ways
// (docs/formats/rank_channel.md). Every message is an object with "kind". A frame above 64 MiB, a
// truncated frame or text that is not JSON is kDataLoss; end of stream is kUnavailable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::contract {

inline constexpr uint32_t kMaxFrameBytes = 64u << 20;

// Blocking. Thread-compatible; one reader and one writer thread may use one descriptor at the same
// time. A peer that is gone is kUnavailable; no SIGPIPE is raised on a socket.
Status WriteFrame(int fd, const Json& message);
StatusOr<Json> ReadFrame(int fd);

// The bytes of one frame. kInvalidArgument when `message` is no object with a string "kind" or is
// above the limit.
StatusOr<std::string> EncodeFrame(const Json& message);

// Frames out of a byte stream that arrives in pieces, for a reader that must not block.
// Thread-compatible.
class FrameBuffer {
 public:
  void Append(std::string_view bytes) { bytes_.append(bytes); }
  // The next whole message, nothing when more bytes are needed, kDataLoss on a broken frame (then
  // for ever).
  StatusOr<std::optional<Json>> Next();
  // True between two frames: where a stream may end.
  bool empty() const { return bytes_.size() == begin_; }

 private:
  std::string bytes_;
  size_t begin_ = 0;
};

}  // namespace anamnesis::contract
