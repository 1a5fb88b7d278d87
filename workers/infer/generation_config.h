// SPDX-License-Identifier: Apache-2.0
// What a model directory says about generation: generation_config.json, else config.json, as HF's
// generate reads them. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/model/config.h"

namespace anamnesis::infer {

struct GenerationConfig {
  std::vector<int64_t> eos_token_ids;  // each of them ends a text; may be empty
  // Scores of ids that the sequence holds are divided by it where positive, else multiplied (Keskar
  // et al. 2019, section 4.1). 1: none.
  double repetition_penalty = 1;
};

// A generation_config.json without eos_token_id means none, as in HF. Its do_sample, temperature,
// top_p and top_k are not read: the caller says how to sample. kInvalidArgument: unreadable, wrong
// type (file and key named). kUnimplemented: a key that changes what HF generates and is not built.
StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& directory,
                                                const model::ModelConfig& model);

}  // namespace anamnesis::infer
