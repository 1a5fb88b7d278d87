// SPDX-License-Identifier: Apache-2.0
// A layer's feed-forward block: gated (act(gate) · up, from two projections or one fused) or plain.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "workers/model/activations.h"
#include "workers/model/linear.h"

namespace anamnesis::model {

// Thread-compatible.
struct Mlp {
  // x [T, D] → [T, D]; the residual is the caller's.
  at::Tensor Forward(const at::Tensor& x_TD) const {
    if (in.size() == 2) {
      return out.Forward(GatedActivate(in[0].Forward(x_TD), in[1].Forward(x_TD), activation));
    }
    const at::Tensor first = in[0].Forward(x_TD);
    if (!gated) return out.Forward(Activate(first, activation));
    const auto halves = first.chunk(2, 1);
    return out.Forward(GatedActivate(halves[0], halves[1], activation));
  }

  bool gated = true;
  Activation activation = Activation::kSilu;
  std::vector<Linear> in;  // gate, up; one fused gate_up (gate columns first); or fc1
  Linear out;
};

}  // namespace anamnesis::model
