// SPDX-License-Identifier: Apache-2.0
// How far a long piece of work is. Told in units of the work's own (bytes, subjects), from one
// thread at a time, `done` never falling; the sum of the units is known from the start.
#pragma once

#include <cstdint>
#include <functional>

namespace anamnesis {

using WorkProgress = std::function<void(uint64_t done, uint64_t total)>;

}  // namespace anamnesis
