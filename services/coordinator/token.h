// SPDX-License-Identifier: Apache-2.0
// The token of the TCP address, and the note by which the user's own commands find it.
#pragma once

#include <string>

#include "services/coordinator/up_options.h"

namespace anamnesis::coordinator {

struct Token {
  std::string value;  // "" with --insecure
  std::string file;   // "" with --insecure
};

// 256 random bits, in hex. A secret.
std::string NewToken();

// Of --token-file (mode 0600, kPermissionDenied else), or made in the data directory on loopback;
// kInvalidArgument for another address without --insecure.
StatusOr<Token> TokenFor(const UpOptions& options);

// Notes address and token file in the user's context ($XDG_CONFIG_HOME/anamnesis/context.json).
Status NoteContext(const std::string& address, const Token& token);
// Removes the note of an earlier coordinator of this data directory: its address is no more.
void ForgetContext(const std::string& data_dir);

}  // namespace anamnesis::coordinator
