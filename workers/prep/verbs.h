// SPDX-License-Identifier: Apache-2.0
// The verbs of anamnesis-prep. A new verb is a function and a row of the table in verbs.cc.
#pragma once

#include <span>

#include "common/base/status.h"

namespace anamnesis::prep {

struct Verb {
  const char* name;
  const char* summary;
  // argv[0] is the verb. Returns the process's exit code.
  int (*run)(int argc, char** argv);
};

std::span<const Verb> Verbs();

// The exit code of a command line that cannot be understood.
inline constexpr int kUsageError = 2;

// Runs argv[1]'s verb; usage on stderr and 2 for none or an unknown one.
int RunVerb(int argc, char** argv);

// Prints "error: …" on stderr for a failure; returns the exit code of the command line's contract.
int Report(const Status& status);

int RunPrepare(int argc, char** argv);
int RunEnsure(int argc, char** argv);
int RunValidate(int argc, char** argv);
int RunRender(int argc, char** argv);

}  // namespace anamnesis::prep
