// SPDX-License-Identifier: Apache-2.0
// Dropout whose mask is a pure function of (seed, step, row of the global batch, module, element):
// nothing is stored, and no batching, rank or thread count changes it. Element i of a row's [T_row,
// features] input is dropped when the 16-bit word i of the Philox4x32-10 stream with key
// f(seed, step) and counter (i / 8, row, module) is below round(p · 65536); kept ones are
// multiplied by 1 / (1 − that fraction).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "common/base/philox.h"

namespace anamnesis::adapter {

struct DropoutRow {
  int64_t global_row = 0;  // row of the global batch
  int64_t num_tokens = 0;  // ids of this row in the micro-batch
};

struct DropoutContext {
  uint64_t seed = 0;
  int64_t step = 0;
  std::vector<DropoutRow> rows;  // of the micro-batch, in order; tokens sum to T
  bool training = false;         // false: no dropout
};

// p in [0, 1) rounded to 1/65536.
uint32_t DropoutThreshold(double p);

// The key of one step's masks.
PhiloxKey DropoutKey(uint64_t seed, int64_t step);

// x [T, features] with dropped elements zero and kept ones scaled, as a new tensor of the same
// dtype (fp32, fp64, bf16 or fp16). Applied to a gradient it is the backward pass of itself.
at::Tensor ApplyDropout(const at::Tensor& x_TF, const DropoutContext& context, int64_t module,
                        double p);

}  // namespace anamnesis::adapter
