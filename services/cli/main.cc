// SPDX-License-Identifier: Apache-2.0
// anamnesis: the command line. Verbs that have a program of their own are that program, found
// beside this one, with the same arguments; the rest is carried out here.
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include "services/cli/config_command.h"
#include "services/cli/sibling.h"
#include "services/cli/terminal.h"
#include "services/cli/verbs.h"

namespace {

using anamnesis::cli::Verb;

constexpr char kHelpCommand[] = "anamnesis --help";

void PrintHelp() {
  std::cout << "anamnesis: train language models on patient histories\n\n"
               "Usage: anamnesis COMMAND [ARGUMENTS]\n\nCommands:\n";
  for (const Verb& verb : anamnesis::cli::Verbs()) {
    if (verb.built())
      std::cout << "  " << std::left << std::setw(10) << verb.name << verb.help << "\n";
  }
  std::cout << "\nEvery command has --help. Example:\n"
               "  anamnesis run --task pretrain_llm configs/jobs/first_light.yaml --ranks 2\n\n"
               "Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 not allowed, 5 conflict,\n"
               "6 invalid configuration or data, 7 timeout, 75 try again, 130 interrupted.\n";
}

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
    PrintHelp();
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
  if (!verb->program.empty()) {
    const std::string program(verb->program);
    anamnesis::cli::FailWith(anamnesis::cli::BecomeSibling(program, words));
    return 1;
  }
  return name == "config" ? anamnesis::cli::RunConfigCommand(arguments) : PrintVersion(arguments);
}
