// SPDX-License-Identifier: Apache-2.0
// What a finished whole model has beside config.json and model.safetensors, for the scripts that
// opened the old pipeline's folders: pytorch_model.bin with the same tensors, and
// training_args.bin. Torch-free.
#pragma once

#include <string>

#include "common/base/status.h"
#include "workers/contract/plan.h"

namespace anamnesis::train {

// Reads model.safetensors of `directory`, writes both there, durably.
Status WriteWholeModelFiles(const std::string& directory, const contract::TrainPlan& plan);

}  // namespace anamnesis::train
