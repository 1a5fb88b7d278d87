// SPDX-License-Identifier: Apache-2.0
// Writes the weights of base and adapter as one model, tensor by tensor: of the merged ones one
// exists at a time.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "workers/adapter/trainable.h"

namespace anamnesis::merge {

struct Written {
  std::string dtype;         // config.json's name of the merged weights' dtype
  int64_t num_layers = 0;    // linear layers with a low-rank update
  bool unties_head = false;  // the head, tied in the base, is not in the merged model
};

// config.json and model.safetensors into an existing directory. Tensors have the names and dtypes
// that they have in the base's files (a weight in NF4: the dtype that config.json states); what the
// adapter does not touch is copied as bytes. A merged weight is W += (B A) · s as PEFT computes it:
// the product in fp32, one rounding to W's dtype. kInvalidArgument names a merged weight that is
// not finite.
StatusOr<Written> WriteMergedModel(adapter::TrainableModel& trainable,
                                   const std::string& base_directory, const std::string& directory);

}  // namespace anamnesis::merge
