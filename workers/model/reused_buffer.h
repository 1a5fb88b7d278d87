// SPDX-License-Identifier: Apache-2.0
// Main memory for large tensors that live shortly, one after the other: a decoded weight, a stored
// tensor on its way into packed form. They use one buffer again and again; taken from the heap each
// time, they would leave holes between what lives longer (a step of a model in 4 bits took twice
// the memory of its parts).
#pragma once

#include <ATen/ATen.h>

namespace anamnesis::model {

// An uninitialised contiguous CPU tensor. Its buffer goes back, to be used by the next caller, when
// the last reference dies; tensors that live at the same time have buffers of their own. One buffer
// is kept, of the largest size so far. Thread-safe.
at::Tensor ReusedBuffer(at::IntArrayRef sizes, at::ScalarType type);

}  // namespace anamnesis::model
