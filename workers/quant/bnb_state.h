// SPDX-License-Identifier: Apache-2.0
// A quantised weight as bitsandbytes stores it in a checkpoint (QuantState.as_dict(packed=True)):
// beside X.weight (U8 [⌈elements/2⌉, 1]) the tensors X.weight.absmax, .quant_map and, for double
// quantisation, .nested_absmax and .nested_quant_map, and the JSON text
// X.weight.quant_state.bitsandbytes__nf4 as U8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "workers/quant/nf4.h"

namespace anamnesis::quant {

// The JSON text's fields.
struct BnbState {
  std::vector<int64_t> shape;  // [out, in]
  std::string dtype;           // of the weight before: float32 | bfloat16 | float16
  bool nested = false;         // double quantisation
  float nested_offset = 0;

  int64_t num_elements() const { return shape[0] * shape[1]; }
};

// kInvalidArgument names a missing, unknown or ill-typed field; kUnimplemented a quant_type other
// than nf4 or another block size. `source` names the tensor.
StatusOr<BnbState> ParseBnbState(std::string_view text, const std::string& source);

// The tensors' contents.
struct BnbParts {
  std::vector<uint8_t> codes;           // weight
  std::vector<uint8_t> absmax_codes;    // absmax of a nested state
  std::vector<float> absmax;            // absmax of one that is not
  std::vector<float> quant_map;         // [16]
  std::vector<float> nested_absmax;     // nested only
  std::vector<float> nested_quant_map;  // nested only
};

// Checks sizes, the quantile table (bit for bit NF4's) and that all scales are finite.
StatusOr<Nf4Data> Nf4FromBnb(const BnbState& state, BnbParts parts, const std::string& source);

}  // namespace anamnesis::quant
