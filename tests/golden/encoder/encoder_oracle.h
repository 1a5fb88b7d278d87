// SPDX-License-Identifier: Apache-2.0
// The goldens of encoders, made once per program by the oracle's script of this folder.
#pragma once

#include <string>

#include "tests/golden/oracle.h"

namespace anamnesis::golden {

// The directory that make_encoder_golden.py filled, made at the first call; empty when it failed.
const std::string& EncoderGoldens();

// The model directory of the MiniLM wheel; empty where the bootstrap has not unpacked it.
std::string MiniLmDirectory();

}  // namespace anamnesis::golden
