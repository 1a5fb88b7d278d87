// SPDX-License-Identifier: Apache-2.0
// Where the coordinator is and what proves who asks: --coordinator, then $ANAMNESIS_COORDINATOR,
// then the user's context file, then the socket of the default data directory. Thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/rpc/address.h"

namespace anamnesis::cli {

// An environment variable; nothing where it is unset or empty.
using Environment = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> FromProcessEnvironment(const char* name);

struct Connection {
  rpc::Address address;
  std::string token;   // "" without one, as on a unix socket
  std::string source;  // "--coordinator", "$ANAMNESIS_COORDINATOR", the context's path, "default"
};

// $XDG_CONFIG_HOME/anamnesis/context.json, else ~/.config/anamnesis/context.json; "" without both.
std::string ContextPath(const Environment& environment);

// `flag` is --coordinator's value, "" when it was not given. The token is read for TCP only:
// from $ANAMNESIS_TOKEN_FILE, else from the context's token_file when its address is this one.
// kInvalidArgument for a malformed address, context or token file; kPermissionDenied for a context
// or token file that others may write or, for the token, read.
StatusOr<Connection> ResolveConnection(const std::string& flag, const Environment& environment);

}  // namespace anamnesis::cli
