// SPDX-License-Identifier: Apache-2.0
// The seam for a config's own dropouts (resid_pdrop, embd_pdrop): the model says where, an
// installed operation says how. Without one there is no dropout.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace anamnesis::model {

class HiddenDropout {
 public:
  virtual ~HiddenDropout() = default;
  // x [T, D] → like x, on the graph. `site` numbers the places of a model: 0 the embeddings,
  // 1 + 2i the attention's output of layer i, 2 + 2i its MLP's.
  virtual at::Tensor Forward(const at::Tensor& x_TD, int64_t site, double p) const = 0;
};

}  // namespace anamnesis::model
