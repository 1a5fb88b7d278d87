// SPDX-License-Identifier: Apache-2.0
// `anamnesis merge`, which anamnesis-rank carries out.
#pragma once

namespace anamnesis::merge {

// argv[0] is "merge". Returns the exit code; what was done goes to stdout, an error to stderr.
int RunMerge(int argc, char** argv);

}  // namespace anamnesis::merge
