// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "common/io/file.h"
#include "common/io/json.h"
#include "common/rpc/address.h"

namespace anamnesis::coordinator {
namespace {

StatusOr<std::string> ReadToken(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return InvalidArgument("--token-file ", path, ": ", ErrnoText(errno));
  }
  if ((info.st_mode & 077) != 0) {
    return PermissionDenied("--token-file ", path,
                            ": others may read it; expected mode 0600 (chmod 600 ", path, ")");
  }
  ANAM_ASSIGN_OR_RETURN(std::string token, ReadFile(path));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.size() < 16) {
    return InvalidArgument("--token-file ", path, ": expected at least 16 characters");
  }
  return token;
}

// "" for a user without a home.
std::string ContextFolder() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config != nullptr && config[0] != '\0') return Cat(config, "/anamnesis");
  if (home != nullptr && home[0] != '\0') return Cat(home, "/.config/anamnesis");
  return "";
}

Status WriteSecret(const std::string& path, const std::string& content) {
  const mode_t mask = ::umask(077);
  const Status written = WriteFileDurably(path, content);
  ::umask(mask);
  return written;
}

}  // namespace

std::string NewToken() {
  std::random_device random;
  std::string token;
  for (int i = 0; i < 8; ++i) {
    char word[9];
    std::snprintf(word, sizeof word, "%08x", random());
    token += word;
  }
  return token;
}

StatusOr<Token> TokenFor(const UpOptions& options) {
  if (options.insecure) return Token{};
  ANAM_ASSIGN_OR_RETURN(const rpc::Address address, rpc::ParseAddress(options.listen));
  if (!rpc::IsLoopback(address)) {
    return InvalidArgument("--listen ", options.listen,
                           ": other machines reach this address and nothing is encrypted; listen "
                           "on 127.0.0.1, or say --insecure");
  }
  Token token;
  token.file = options.token_file;
  if (token.file.empty()) {
    token.file = options.data_dir + "/token";
    if (!PathExists(token.file)) ANAM_RETURN_IF_ERROR(WriteSecret(token.file, NewToken() + "\n"));
  }
  ANAM_ASSIGN_OR_RETURN(token.value, ReadToken(token.file));
  return token;
}

Status NoteContext(const std::string& address, const Token& token) {
  const std::string folder = ContextFolder();
  if (folder.empty()) return absl::OkStatus();  // a user without a home says --coordinator
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  ::chmod(folder.c_str(), 0700);
  const Json context = {{"address", address}, {"token_file", token.file}};
  return WriteSecret(folder + "/context.json", context.dump(2) + "\n");
}

void ForgetContext(const std::string& data_dir) {
  const std::string path = ContextFolder() + "/context.json";
  const StatusOr<Json> context = ReadJsonFile(path);
  if (!context.ok() || !context->is_object()) return;
  if (context->value("token_file", "").starts_with(data_dir + "/")) ::unlink(path.c_str());
}

}  // namespace anamnesis::coordinator
