// SPDX-License-Identifier: Apache-2.0
// anamnesis: the command line. Verbs that have a program of their own are that program, found
// beside this one, with the same arguments; the rest is carried out here.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "services/cli/sibling.h"
#include "services/cli/terminal.h"
#include "services/cli/verbs.h"

namespace {

using anamnesis::cli::Verb;

constexpr char kHelpCommand[] = "anamnesis --help";

int PrintVersion(const std::vector<std::string>& arguments) {
  if (arguments.size() == 1 && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::cout << "Print the version.\n\nExample: anamnesis version\n";
    return 0;
  }
  if (!arguments.empty()) {
    return anamnesis::cli::FailUsage("version takes no arguments", "anamnesis version --help");
  }
  std::cout << "anamnesis " << ANAMNESIS_VERSION << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + std::max(argc, 1));
  if (words.empty()) return anamnesis::cli::FailUsage("no command given", kHelpCommand);
  const std::string& name = words[0];
  if (name == "--help" || name == "-h" || name == "help") {
    std::cout << anamnesis::cli::HelpText();
    return 0;
  }
  std::vector<std::string> arguments(words.begin() + 1, words.end());
  if (name == "--version") return PrintVersion(arguments);
  if (name.starts_with("-")) {
    return anamnesis::cli::FailUsage("expected a command before " + name, kHelpCommand);
  }
  const Verb* verb = anamnesis::cli::FindVerb(name);
  if (verb == nullptr) {
    return anamnesis::cli::FailUsage(anamnesis::cli::UnknownVerbText(name), kHelpCommand);
  }
  if (!verb->built()) {
    return anamnesis::cli::FailWith(
        anamnesis::Unimplemented(name, ": this command is not built yet"));
  }
  if (verb->command != nullptr) return verb->command(arguments);
  if (verb->program.empty()) return PrintVersion(arguments);
  const std::string program(verb->program);
  anamnesis::cli::FailWith(
      anamnesis::cli::BecomeSibling(program, verb->keeps_verb ? words : arguments));
  return 1;
}
