// SPDX-License-Identifier: Apache-2.0
// Fills an encoder's tensors from a checkpoint, one tensor at a time.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/encoder/config.h"

namespace anamnesis::encoder {

struct FilledWeights {
  std::vector<std::string> initialised;  // our names that the checkpoint lacked
  std::string note;                      // one line for the user, or empty (WeightMatch::note)
};

// Copies the checkpoint in `directory` into `tensors`, which holds a tensor of the right shape for
// every name of EncoderTensors(config), converting to their dtypes. A missing head is drawn:
// normal by Philox keyed by (seed, name), norms one, biases zero. Errors of MatchWeights and of
// reading; kInvalidArgument names a tensor with a NaN or an infinity.
StatusOr<FilledWeights> FillWeights(const std::string& directory, const EncoderConfig& config,
                                    uint64_t seed,
                                    const std::map<std::string, at::Tensor>& tensors);

}  // namespace anamnesis::encoder
