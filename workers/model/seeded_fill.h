// SPDX-License-Identifier: Apache-2.0
// First values of weights that a checkpoint lacks: one Philox stream a tensor, keyed by the seed
// and the tensor's name, drawn in fp32 in the order of the elements and then copied in the tensor's
// own dtype and device.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace anamnesis::model {

// N(0, spread).
void FillNormal(uint64_t seed, const std::string& name, double spread, const at::Tensor& weight);

// U(−1/√in, 1/√in) of a weight [r, in]: kaiming-uniform with a = √5 (He et al. 2015) as PEFT fills
// A.
void FillKaimingUniform(uint64_t seed, const std::string& name, const at::Tensor& weight_RI);

}  // namespace anamnesis::model
