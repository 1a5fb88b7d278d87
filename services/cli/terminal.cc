// SPDX-License-Identifier: Apache-2.0
#include "services/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "common/config/advice.h"

namespace anamnesis::cli {
namespace {

winsize SizeOf(int fd) {
  winsize size = {};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return {};
  return size;
}

void PrintLabelled(const char* label, const char* colour, const std::string& text) {
  if (MayDraw(STDERR_FILENO)) {
    std::cerr << "\033[" << colour << "m" << label << ":\033[0m " << text << std::endl;
  } else {
    std::cerr << label << ": " << text << std::endl;
  }
}

}  // namespace

int FailWith(const Status& status) {
  PrintLabelled("error", "1;31", MessageOf(status));
  return ExitCodeOf(status);
}

int FailUsage(const std::string& text, const std::string& help_command) {
  PrintLabelled("error", "1;31", text);
  std::cerr << "Try '" << help_command << "'." << std::endl;
  return kExitUsage;
}

void PrintNote(const std::string& text) { PrintLabelled("note", "1;36", text); }

void PrintWarning(const std::string& text) { PrintLabelled("warning", "1;33", text); }

void PrintRemark(const std::string& note) {
  const auto severity = config::SeverityOfLine(note);
  if (!severity) return PrintNote(note);
  const std::string text = note.substr(note.find(": ") + 2);
  if (*severity == config::Severity::kWarning) return PrintWarning(text);
  PrintLabelled("tip", "1;36", text);
}

bool MayDraw(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return ::isatty(fd) == 1;
}

size_t TerminalColumns(int fd) {
  const winsize size = SizeOf(fd);
  return size.ws_col > 0 ? size.ws_col : 80;
}

size_t TerminalRows(int fd) {
  const winsize size = SizeOf(fd);
  return size.ws_row > 0 ? size.ws_row : 24;
}

bool AsciiOnly() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || value[0] == '\0') continue;
    const std::string_view locale(value);
    return locale.find("UTF-8") == std::string_view::npos &&
           locale.find("utf8") == std::string_view::npos &&
           locale.find("UTF8") == std::string_view::npos &&
           locale.find("utf-8") == std::string_view::npos;
  }
  return false;
}

}  // namespace anamnesis::cli
