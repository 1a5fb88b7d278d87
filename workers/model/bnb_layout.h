// SPDX-License-Identifier: Apache-2.0
// Which tensors hold a weight that bitsandbytes quantised to 4 bits, by names, dtypes and shapes
// alone (workers/quant/bnb_state.h says what is in them). Torch-free.
#pragma once

#include <string>
#include <vector>

#include "workers/model/weight_files.h"

namespace anamnesis::model {

// Suffixes to a weight's name ("model.layers.0.mlp.up_proj.weight").
inline constexpr char kBnbState[] = ".quant_state.bitsandbytes__nf4";
inline constexpr char kBnbAbsmax[] = ".absmax";
inline constexpr char kBnbQuantMap[] = ".quant_map";
inline constexpr char kBnbNestedAbsmax[] = ".nested_absmax";
inline constexpr char kBnbNestedQuantMap[] = ".nested_quant_map";

// The digest of a base whose ModelDigest is `sha256` and whose linear layers are held in NF4: a run
// resumes on the same weights only, and in 4 bits they are others.
std::string PackedDigest(const std::string& sha256);

// Whether the files hold the weight quantised. kUnimplemented: as fp4.
StatusOr<bool> IsBnbQuantised(const WeightFiles& files, const std::string& weight);

// The tensors that a checkpoint of these files must have for `expected`: a quantised weight [out,
// in] is replaced by its parts, the rest stays. kInvalidArgument: a part is missing, of another
// dtype or size, named. kUnimplemented: fp4, codes stored as another dtype than U8, a quantised
// embedding or head.
StatusOr<std::vector<ExpectedTensor>> WithBnbTensors(const WeightFiles& files,
                                                     const std::vector<ExpectedTensor>& expected);

}  // namespace anamnesis::model
