// SPDX-License-Identifier: Apache-2.0
// What decides bits besides the plan: CPU, instruction set, LibTorch, threads.
#pragma once

#include <string>

#include "workers/checkpoint/manifest.h"

namespace anamnesis::train {

checkpoint::Environment ThisEnvironment(int threads);

// "" when the bits of a run begun in `before` are kept in `now`; else what differs.
std::string WhyBitsDiffer(const checkpoint::Environment& before,
                          const checkpoint::Environment& now);

}  // namespace anamnesis::train
