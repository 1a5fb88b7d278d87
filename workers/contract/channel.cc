// SPDX-License-Identifier: Apache-2.0
#include "workers/contract/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace anamnesis::contract {
namespace {

constexpr size_t kHeaderBytes = 4;
constexpr size_t kPieceBytes = 1u << 20;

uint32_t LengthOf(const char* header) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(header);
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
         static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

Status CheckLength(uint32_t length) {
  if (length <= kMaxFrameBytes) return absl::OkStatus();
  return DataLoss("channel: frame of ", length, " bytes, expected at most ", kMaxFrameBytes);
}

StatusOr<Json> Decode(std::string_view text) {
  StatusOr<Json> message = ParseJson(text, "channel");
  if (!message.ok()) return DataLoss(MessageOf(message.status()));
  if (!message->is_object() || !message->contains("kind") || !(*message)["kind"].is_string()) {
    return DataLoss("channel: expected an object with a string 'kind'");
  }
  return message;
}

// Reads exactly `size_bytes`; `at_border` says whether the stream may end before the first byte.
Status ReadExactly(int fd, char* out, size_t size_bytes, bool at_border) {
  size_t done = 0;
  while (done < size_bytes) {
    const ssize_t got = ::read(fd, out + done, size_bytes - done);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) return Unavailable("channel: reset by the peer");
      return Internal("channel: cannot read: ", ErrnoText(errno));
    }
    if (got == 0) {
      if (at_border && done == 0) return Unavailable("channel: closed by the peer");
      return DataLoss("channel: ended inside a frame, ", size_bytes - done, " bytes missing");
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::string> EncodeFrame(const Json& message) {
  if (!message.is_object() || !message.contains("kind") || !message["kind"].is_string()) {
    return InvalidArgument("channel: a message must be an object with a string 'kind'");
  }
  const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMaxFrameBytes) {
    return InvalidArgument("channel: message of ", text.size(), " bytes, expected at most ",
                           kMaxFrameBytes);
  }
  const auto length = static_cast<uint32_t>(text.size());
  std::string frame;
  frame.reserve(kHeaderBytes + text.size());
  for (int shift = 0; shift < 32; shift += 8)
    frame.push_back(static_cast<char>(length >> shift & 0xff));
  return frame + text;
}

Status WriteFrame(int fd, const Json& message) {
  ANAM_ASSIGN_OR_RETURN(const std::string frame, EncodeFrame(message));
  std::string_view left = frame;
  while (!left.empty()) {
    ssize_t written = ::send(fd, left.data(), left.size(), MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK) written = ::write(fd, left.data(), left.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET) return Unavailable("channel: closed by the peer");
      return Internal("channel: cannot write: ", ErrnoText(errno));
    }
    left.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

StatusOr<Json> ReadFrame(int fd) {
  char header[kHeaderBytes];
  ANAM_RETURN_IF_ERROR(ReadExactly(fd, header, kHeaderBytes, /*at_border=*/true));
  const uint32_t length = LengthOf(header);
  ANAM_RETURN_IF_ERROR(CheckLength(length));
  // Grown piece by piece, so that a lying length costs no more memory than the bytes that really
  // come.
  std::string text;
  while (text.size() < length) {
    const size_t begin = text.size();
    text.resize(std::min<size_t>(length, begin + kPieceBytes));
    ANAM_RETURN_IF_ERROR(
        ReadExactly(fd, text.data() + begin, text.size() - begin, /*at_border=*/false));
  }
  return Decode(text);
}

StatusOr<std::optional<Json>> FrameBuffer::Next() {
  const size_t available = bytes_.size() - begin_;
  if (available < kHeaderBytes) return std::optional<Json>();
  const uint32_t length = LengthOf(bytes_.data() + begin_);
  ANAM_RETURN_IF_ERROR(CheckLength(length));
  if (available - kHeaderBytes < length) return std::optional<Json>();
  ANAM_ASSIGN_OR_RETURN(Json message,
                        Decode(std::string_view(bytes_).substr(begin_ + kHeaderBytes, length)));
  begin_ += kHeaderBytes + length;
  if (begin_ == bytes_.size() || begin_ > kPieceBytes) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
  return std::optional<Json>(std::move(message));
}

}  // namespace anamnesis::contract
