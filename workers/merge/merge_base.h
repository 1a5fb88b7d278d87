// SPDX-License-Identifier: Apache-2.0
// The base that an adapter belongs to: where it is, and that it is the one. Torch-free.
#pragma once

#include <string>

#include "common/base/status.h"
#include "workers/adapter/peft_files.h"
#include "workers/contract/plan.h"

namespace anamnesis::merge {

// The base of adapter_config.json's base_model_name_or_path, or of `base` where that is given, held
// as the adapter's training held it (quantisation; the dtype is the caller's). An adapter of ours
// has a manifest: its files must be as they were written (kDataLoss) and its base's digest this
// one's (kInvalidArgument). PEFT's has none: only shapes can tell there.
StatusOr<contract::ModelPlan> FindBase(const std::string& adapter_directory,
                                       const adapter::AdapterConfig& config,
                                       const std::string& base);

}  // namespace anamnesis::merge
