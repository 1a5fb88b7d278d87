// SPDX-License-Identifier: Apache-2.0
#include "services/cli/connection.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "common/io/data_directory.h"
#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::cli {
namespace {

struct Context {
  std::string address;
  std::string token_file;
};

// Who may write where a token goes may have it sent to himself.
Status CheckPrivate(const std::string& path, mode_t forbidden, const char* what) {
  struct stat entry = {};
  if (::stat(path.c_str(), &entry) != 0) {
    return InvalidArgument(path, ": ", what, " cannot be read: ", ErrnoText(errno));
  }
  if (entry.st_uid != ::geteuid() && entry.st_uid != 0) {
    return PermissionDenied(path, ": ", what, " belongs to user ", entry.st_uid, ", not to ",
                            ::geteuid());
  }
  if ((entry.st_mode & forbidden) != 0) {
    return PermissionDenied(path, ": ", what, " is open to other users: chmod 600 it");
  }
  return absl::OkStatus();
}

StatusOr<std::optional<Context>> ReadContext(const Environment& environment) {
  const std::string path = ContextPath(environment);
  if (path.empty() || !PathExists(path)) return std::nullopt;
  ANAM_RETURN_IF_ERROR(CheckPrivate(path, S_IWGRP | S_IWOTH, "the context file"));
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  Context context;
  ANAM_ASSIGN_OR_RETURN(context.address, JsonString(json, "address", path));
  const auto token_file = json.find("token_file");
  if (token_file != json.end() && token_file->is_string()) {
    context.token_file = token_file->get<std::string>();
  }
  return context;
}

StatusOr<std::string> ReadToken(const std::string& path) {
  ANAM_RETURN_IF_ERROR(CheckPrivate(path, S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH, "the token file"));
  ANAM_ASSIGN_OR_RETURN(std::string token, ReadFile(path));
  const size_t end = token.find_last_not_of(" \t\r\n");
  token.erase(end == std::string::npos ? 0 : end + 1);
  const auto fits = [](unsigned char c) { return c > 0x20 && c < 0x7f; };
  if (token.empty() || token.size() > 4096 || !std::all_of(token.begin(), token.end(), fits)) {
    return InvalidArgument(path, ": expected a token (one line of printable ASCII)");
  }
  return token;
}

}  // namespace

std::optional<std::string> FromProcessEnvironment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || value[0] == '\0') return std::nullopt;
  return value;
}

std::string ContextPath(const Environment& environment) {
  if (const auto config = environment("XDG_CONFIG_HOME")) {
    return Cat(*config, "/anamnesis/context.json");
  }
  const auto home = environment("HOME");
  return home ? Cat(*home, "/.config/anamnesis/context.json") : "";
}

StatusOr<Connection> ResolveConnection(const std::string& flag, const Environment& environment) {
  std::string text = flag;
  Connection connection;
  connection.source = "--coordinator";
  if (text.empty()) {
    text = environment("ANAMNESIS_COORDINATOR").value_or("");
    connection.source = "$ANAMNESIS_COORDINATOR";
  }
  const bool told = !text.empty();
  // A broken context matters only where it is used.
  StatusOr<std::optional<Context>> context = ReadContext(environment);
  if (!told) ANAM_RETURN_IF_ERROR(context.status());
  if (!told && context->has_value()) {
    text = (*context)->address;
    connection.source = ContextPath(environment);
  }
  if (text.empty()) {
    ANAM_ASSIGN_OR_RETURN(const std::string data, DefaultDataDirectory());
    connection.source = "default";
    ANAM_ASSIGN_OR_RETURN(connection.address, rpc::UnixAddress(data + "/s"));
    return connection;
  }
  StatusOr<rpc::Address> address = rpc::ParseAddress(text);
  if (!address.ok()) return AddContext(address.status(), connection.source);
  connection.address = *std::move(address);
  if (connection.address.is_unix()) return connection;
  if (const auto path = environment("ANAMNESIS_TOKEN_FILE")) {
    ANAM_ASSIGN_OR_RETURN(connection.token, ReadToken(*path));
  } else if (context.ok() && context->has_value() && !(*context)->token_file.empty()) {
    // Not to another address: the token would be told to a stranger.
    const StatusOr<rpc::Address> own = rpc::ParseAddress((*context)->address);
    if (own.ok() && *own == connection.address) {
      ANAM_ASSIGN_OR_RETURN(connection.token, ReadToken((*context)->token_file));
    }
  }
  return connection;
}

}  // namespace anamnesis::cli
