// SPDX-License-Identifier: Apache-2.0
// Where a coordinator listens, unix:PATH or HOST:PORT, and the channel to it. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace anamnesis::rpc {

// A server permits pings as often as half of this (GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_...), or
// it sends clients with an idle stream away.
inline constexpr int kKeepaliveMs = 30'000;
inline constexpr int kKeepaliveTimeoutMs = 10'000;
inline constexpr int kMaxMessageBytes = 4 << 20;
inline constexpr size_t kMaxUnixPathBytes = 107;  // sun_path without its last NUL

struct Address {
  std::string unix_path;  // absolute; "" for TCP
  std::string host;       // name or address, IPv6 without brackets
  int port = 0;           // 0 to 65535; 0: any free one, for a server
  bool is_unix() const { return !unix_path.empty(); }
  // unix:PATH or HOST:PORT as people write it.
  std::string Text() const;
  // As gRPC wants it, for a channel or a listening port.
  std::string GrpcTarget() const;
  bool operator==(const Address&) const = default;
};

// kInvalidArgument says what is expected. A relative unix path is taken against the working
// directory; one above kMaxUnixPathBytes is refused with the reason.
StatusOr<Address> ParseAddress(const std::string& text);

// The unix address of a path; the same check of its length.
StatusOr<Address> UnixAddress(const std::string& path);

// Loopback by its name or number: localhost, 127.x.x.x, ::1.
bool IsLoopback(const Address& address);

// A channel without encryption; connects with the first call, again and again after a loss, at
// least once a second. Proxies of the environment are not used.
std::shared_ptr<grpc::Channel> MakeChannel(const Address& address);

// Puts `authorization: Bearer TOKEN` on one call; nothing for an empty token.
void Authorize(const std::string& token, grpc::ClientContext* context);

}  // namespace anamnesis::rpc
