// SPDX-License-Identifier: Apache-2.0
#include "workers/model/norms.h"

namespace anamnesis::model {

at::ScalarType WideType(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor Norm::Forward(const at::Tensor& x) const {
  if (kind == NormKind::kLayerNorm) {
    return at::layer_norm(x, weight_D.sizes(), weight_D, bias_D, eps);
  }
  const at::Tensor wide = x.to(WideType(x.scalar_type()));
  const at::Tensor scale = (wide.pow(2).mean(-1, /*keepdim=*/true) + eps).rsqrt();
  const at::Tensor quotient = wide * scale;
  if (kind == NormKind::kRmsPlusOne) {
    return (quotient * (weight_D.to(wide.scalar_type()) + 1)).to(x.scalar_type());
  }
  return weight_D * quotient.to(x.scalar_type());
}

}  // namespace anamnesis::model
