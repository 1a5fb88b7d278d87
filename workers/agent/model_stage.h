// SPDX-License-Identifier: Apache-2.0
// The base model of a run: where it is, and that it can be trained, before anything is written.
#pragma once

#include <string>

#include "common/config/job_config.h"
#include "workers/contract/plan.h"

namespace anamnesis::agent {

// model.model_name as an absolute directory: a directory, else a snapshot in the Hugging Face cache
// ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub). kInvalidArgument says where was looked;
// downloads are not built yet.
StatusOr<std::string> ResolveModelDirectory(const std::string& model_name,
                                            const std::string& revision);

struct ModelStage {
  contract::ModelPlan plan;
  std::string tokenizer_sha256;
};

// Resolves and checks: config.json, names and shapes of all weights, the tokenizer against the
// vocabulary, LoRA's targets. Reads headers, no weights.
StatusOr<ModelStage> CheckModel(const config::JobConfig& config);

contract::LoraPlan MakeLoraPlan(const config::LoraSection& lora);

}  // namespace anamnesis::agent
