// SPDX-License-Identifier: Apache-2.0
#include "workers/model/seeded_fill.h"

#include <cmath>

#include "common/base/philox.h"
#include "workers/model/init.h"

namespace anamnesis::model {
namespace {

template <typename Draw>
void FillWith(uint64_t seed, const std::string& name, const at::Tensor& weight, Draw draw) {
  PhiloxStream random(seed, StreamOfName(name));
  at::Tensor values = at::empty(weight.sizes(), at::TensorOptions().dtype(at::kFloat));
  float* out = values.mutable_data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) out[i] = static_cast<float>(draw(random));
  weight.copy_(values);
}

}  // namespace

void FillNormal(uint64_t seed, const std::string& name, double spread, const at::Tensor& weight) {
  FillWith(seed, name, weight, [&](PhiloxStream& random) { return spread * random.Normal(); });
}

void FillKaimingUniform(uint64_t seed, const std::string& name, const at::Tensor& weight_RI) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(weight_RI.size(1)));
  FillWith(seed, name, weight_RI,
           [&](PhiloxStream& random) { return (2.0 * random.Uniform() - 1.0) * bound; });
}

}  // namespace anamnesis::model
