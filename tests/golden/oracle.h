// SPDX-License-Identifier: Apache-2.0
// Runs the oracle's scripts (tools/oracle) for golden tests, once per program, into a temporary
// directory that is removed at the end.
#pragma once

#include <string>

namespace anamnesis::golden {

// False where tools/bootstrap --tests has not run: the test skips with "oracle absent".
bool OracleIsPresent();

// The directory that make_golden.py filled, made at the first call; empty when the script failed.
const std::string& GoldenDirectory();

// A fresh directory below the temporary one.
std::string ScratchDirectory(const std::string& name);

// Runs `tools/oracle tests/golden/SCRIPT ARGUMENTS`; returns its output, both streams, and the exit
// status in `status`.
std::string RunOracle(const std::string& script, const std::string& arguments, int* status);

}  // namespace anamnesis::golden
