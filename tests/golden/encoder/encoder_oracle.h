// SPDX-License-Identifier: Apache-2.0
// Runs the oracle's scripts of this folder once per program, into a temporary directory that is
// removed at the end.
#pragma once

#include <string>

namespace anamnesis::golden {

// False where tools/bootstrap --tests has not run: the test skips with "oracle absent".
bool OracleIsPresent();

// The directory that make_encoder_golden.py filled, made at the first call; empty when it failed.
const std::string& EncoderGoldens();

// The model directory of the MiniLM wheel; empty where the bootstrap has not unpacked it.
std::string MiniLmDirectory();

// A fresh directory below the temporary one.
std::string EncoderScratch(const std::string& name);

// Runs `tools/oracle tests/golden/encoder/SCRIPT ARGUMENTS`; returns its output, both streams.
std::string RunEncoderOracle(const std::string& script, const std::string& arguments, int* status);

}  // namespace anamnesis::golden
