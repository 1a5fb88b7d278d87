// SPDX-License-Identifier: Apache-2.0
// A random base model as an HF model directory: config.json and model.safetensors. Torch-free.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "workers/model/config.h"
#include "workers/model/safetensors.h"

namespace anamnesis::model {

// Weights are normal(0, initializer_range) by Philox, one stream per tensor (keyed by its name, so
// the order does not matter); norms have no effect, biases are zero. The same seed gives the same
// bytes. `type` is kF32 or kBF16. Creates `directory`; an existing model.safetensors is replaced.
Status WriteRandomModel(const ModelConfig& config, uint64_t seed, const std::string& directory,
                        StoredType type = StoredType::kF32);

// The Philox stream number of a name: the first 8 bytes of its SHA-256, little-endian.
uint64_t StreamOfName(const std::string& name);

}  // namespace anamnesis::model
