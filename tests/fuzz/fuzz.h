// SPDX-License-Identifier: Apache-2.0
// What a fuzz target gives the driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Must neither crash, hang nor leak for any input. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Well-formed inputs from which the driver makes its mutations.
std::vector<std::string> FuzzSeeds();
