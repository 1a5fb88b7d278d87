// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/address.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>

namespace anamnesis::rpc {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

bool IsHostCharacter(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

std::string Quoted(const std::string& text) {
  std::string shown = text.substr(0, 120);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return Cat("'", shown, shown.size() < text.size() ? "…'" : "'");
}

Status Malformed(const std::string& text, const std::string& what) {
  return InvalidArgument("address ", Quoted(text), ": ", what,
                         "; expected unix:PATH or HOST:PORT, for example 127.0.0.1:7070");
}

}  // namespace

std::string Address::Text() const {
  if (is_unix()) return Cat(kUnixPrefix, unix_path);
  const bool v6 = host.find(':') != std::string::npos;
  return Cat(v6 ? "[" : "", host, v6 ? "]:" : ":", port);
}

std::string Address::GrpcTarget() const {
  if (!is_unix()) return Text();
  // gRPC reads the path as a part of a URI.
  std::string target(kUnixPrefix);
  for (const char c : unix_path) {
    if (IsHostCharacter(static_cast<unsigned char>(c)) || c == '/' || c == '~') {
      target += c;
    } else {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      target += '%';
      target += kHex[byte >> 4U];
      target += kHex[byte & 15U];
    }
  }
  return target;
}

StatusOr<Address> UnixAddress(const std::string& path) {
  if (path.empty()) return Malformed(Cat(kUnixPrefix, path), "has no path");
  if (path.find('\0') != std::string::npos) return Malformed(path, "has a NUL byte");
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error)
    return FailedPrecondition(Quoted(path), ": cannot be made absolute: ", error.message());
  Address address;
  address.unix_path = absolute.lexically_normal().string();
  if (address.unix_path.size() > kMaxUnixPathBytes) {
    return InvalidArgument("address ", Quoted(address.Text()), ": the path has ",
                           address.unix_path.size(), " bytes, the system allows ",
                           kMaxUnixPathBytes, " for a socket: choose a shorter data directory");
  }
  return address;
}

StatusOr<Address> ParseAddress(const std::string& text) {
  if (text.starts_with(kUnixPrefix)) {
    std::string path = text.substr(kUnixPrefix.size());
    if (path.starts_with("//")) path = path.substr(2);  // unix:///run/s, gRPC's other way
    return UnixAddress(path);
  }
  const size_t colon = text.rfind(':');
  if (text.empty()) return Malformed(text, "is empty");
  if (colon == std::string::npos) return Malformed(text, "has no port");
  Address address;
  address.host = text.substr(0, colon);
  const bool bracketed =
      address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']';
  if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
  const auto valid = [&](unsigned char c) {
    return IsHostCharacter(c) || (bracketed && (c == ':' || c == '%'));
  };
  if (address.host.empty()) return Malformed(text, "has no host");
  if (!std::all_of(address.host.begin(), address.host.end(), valid)) {
    return Malformed(text, "has no valid host (IPv6 goes into brackets: [::1]:7070)");
  }
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || stop != end || address.port < 0 || address.port > 65535) {
    return Malformed(text, "has no port between 0 and 65535");
  }
  return address;
}

bool IsLoopback(const Address& address) {
  if (address.is_unix() || address.host == "localhost" || address.host == "::1") return true;
  // A name such as 127.example.org is not a number of the loopback network.
  return address.host.starts_with("127.") &&
         address.host.find_first_not_of("0123456789.") == std::string::npos;
}

std::shared_ptr<grpc::Channel> MakeChannel(const Address& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 64 << 10);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);  // also a connect's time limit
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Channels with the same arguments share a connection and its backoff; a new one is to try anew.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (address.is_unix()) {
    // gRPC would send the path, which HTTP/2 servers of other languages refuse as an authority.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  } else {
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return grpc::CreateCustomChannel(address.GrpcTarget(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

void Authorize(const std::string& token, grpc::ClientContext* context) {
  if (!token.empty()) context->AddMetadata("authorization", Cat("Bearer ", token));
}

}  // namespace anamnesis::rpc
