// SPDX-License-Identifier: Apache-2.0
// Gradient checkpointing (Chen et al. 2016) of one layer: its input is kept, what it computes in
// between is not, and the backward pass computes the layer again.
#pragma once

#include <ATen/ATen.h>

#include <functional>

namespace anamnesis::model {

using LayerFunction = std::function<at::Tensor(const at::Tensor& x_TD)>;

// layer(x), with the same gradients, of x and of whatever requires gradients inside, in the same
// bits. `layer` and all that it borrows live, unchanged, until the backward pass has run: on the
// CPU a second pass whose bits differ from the first (another dropout mask, changed weights) throws
// c10::Error. Without grad mode it is layer(x).
at::Tensor Recomputed(const at::Tensor& x_TD, const LayerFunction& layer);

}  // namespace anamnesis::model
