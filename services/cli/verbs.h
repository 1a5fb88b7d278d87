// SPDX-License-Identifier: Apache-2.0
// The verbs of the command line's contract: those that are built, with the program that carries
// them out, and those that are only promised. Constant data: thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace anamnesis::cli {

struct Verb {
  std::string_view name;
  std::string_view program;  // sibling that is run with the verb and its arguments; "": this one
  std::string_view help;     // one line; "" where the verb is not built yet
  bool built() const { return !help.empty(); }
};

std::span<const Verb> Verbs();
const Verb* FindVerb(std::string_view name);

// "unknown command 'rum', did you mean run?" for a word that is no verb.
std::string UnknownVerbText(const std::string& word);

}  // namespace anamnesis::cli
