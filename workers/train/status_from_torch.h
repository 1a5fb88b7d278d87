// SPDX-License-Identifier: Apache-2.0
// Torch's exceptions as statuses. Used at exactly two seams: step.cc and the program's main.
#pragma once

#include <functional>

#include "common/base/status.h"

namespace anamnesis::train {

// Runs `body`; c10::OutOfMemoryError becomes kResourceExhausted, the c10::DistError family
// kUnavailable (a peer or the network: try again), std::bad_alloc kResourceExhausted, any other
// c10::Error kInternal.
Status StatusFromTorch(const std::function<Status()>& body);

}  // namespace anamnesis::train
