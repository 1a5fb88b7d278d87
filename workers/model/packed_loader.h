// SPDX-License-Identifier: Apache-2.0
// Which linear layers of a decoder are held packed, and their weights: quantised while loading, or
// as bitsandbytes stored them.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "workers/model/frozen_weight.h"
#include "workers/model/layout.h"
#include "workers/model/weight_files.h"

namespace anamnesis::model {

// Borrows the files. Thread-compatible.
class PackedLoader {
 public:
  // Checks the files against `expected` (weight_files.h), quantised weights as bnb_layout.h has
  // them, and the directory's quantization_config (bnb_config.h).
  static StatusOr<PackedLoader> Open(const std::string& directory, const WeightFiles& files,
                                     const std::vector<ExpectedTensor>& expected,
                                     Quantisation quantisation, at::Device device);

  // Whether this linear layer's weight is packed; the head's never is.
  bool Packs(const std::string& module) const;
  // Reads one tensor, packs it and drops it. Errors name the tensor.
  StatusOr<FrozenWeightPtr> Load(const LinearLayout& layout) const;

 private:
  explicit PackedLoader(const WeightFiles& files) : files_(&files) {}

  const WeightFiles* files_;
  bool stored_packed_ = false;  // what the files hold packed is, and no other
  bool quantise_ = false;       // all but the head
};

// A weight that bitsandbytes stored, of shape [out, in], whose tensors WithBnbTensors has accepted.
// Errors of quant/bnb_state.h; kInvalidArgument also when the state's shape is another.
StatusOr<FrozenWeightPtr> ReadBnbWeight(const WeightFiles& files, const std::string& weight,
                                        int64_t out_features, int64_t in_features);

}  // namespace anamnesis::model
