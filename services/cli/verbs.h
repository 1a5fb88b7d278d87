// SPDX-License-Identifier: Apache-2.0
// The verbs of the command line's contract: those that are built, with the program or the function
// that carries them out, and those that are only promised. Constant data: thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anamnesis::cli {

// Carries out a verb of this program; gets the words after it, returns the exit code.
using Command = int (*)(const std::vector<std::string>& words);

struct Verb {
  std::string_view name;
  std::string_view group;         // head of its group in --help
  std::string_view help;          // one line; "" where the verb is not built yet
  Command command = nullptr;      // null: a sibling program, or main's own
  std::string_view program = {};  // sibling that is run with the verb and its arguments; "": none
  bool keeps_verb = true;         // false: the sibling gets the arguments alone
  bool built() const { return !help.empty(); }
};

std::span<const Verb> Verbs();
const Verb* FindVerb(std::string_view name);

// "unknown command 'rum', did you mean run?" for a word that is no verb.
std::string UnknownVerbText(const std::string& word);

// What `anamnesis --help` prints: the verbs that are built, in their groups.
std::string HelpText();

}  // namespace anamnesis::cli
