// SPDX-License-Identifier: Apache-2.0
// The verb `generate`: a continuation of a prompt on standard output. docs/inference.md.
#pragma once

namespace anamnesis::infer {

// argv[0] is the verb. Returns the process's exit code: 2 for a wrong command line, 6 for a model
// or prompt that cannot be used. SIGINT ends the process with 130. Neither prompt nor continuation
// goes anywhere but to standard output.
int RunGenerate(int argc, char** argv);

}  // namespace anamnesis::infer
