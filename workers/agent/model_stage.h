// SPDX-License-Identifier: Apache-2.0
// The base model of a run: where it is, and that it can be trained, before anything is written.
#pragma once

#include <string>
#include <vector>

#include "common/config/job_config.h"
#include "common/hub/model_directory.h"
#include "workers/contract/plan.h"

namespace anamnesis::agent {

struct ModelStage {
  contract::ModelPlan plan;
  std::string tokenizer_sha256;
  std::vector<std::string> notes;  // what a user should know of the weights, a line each
};

// Resolves and checks: config.json, names and shapes of all weights, the tokenizer against the
// vocabulary, LoRA's targets. Reads headers, no weights.
StatusOr<ModelStage> CheckModel(const config::JobConfig& config, const hub::HubAccess& access = {});

contract::LoraPlan MakeLoraPlan(const config::LoraSection& lora);

}  // namespace anamnesis::agent
