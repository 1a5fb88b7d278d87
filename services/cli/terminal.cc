// SPDX-License-Identifier: Apache-2.0
#include "services/cli/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

namespace anamnesis::cli {
namespace {

bool UseColour() {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return ::isatty(STDERR_FILENO) == 1;
}

void PrintLabelled(const char* label, const char* colour, const std::string& text) {
  if (UseColour()) {
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

}  // namespace anamnesis::cli
