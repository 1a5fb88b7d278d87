// SPDX-License-Identifier: Apache-2.0
// The base model of a synthetic cohort as an HF directory: a tokenizer trained on the cohort's own
// train narratives and a tiny Llama with random weights, for LoRA with
// modules_to_save: [embed_tokens, lm_head].
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "workers/prep/synth_narratives.h"

namespace anamnesis::prep {

// Creates `directory` with tokenizer.json, tokenizer_config.json, special_tokens_map.json,
// config.json and model.safetensors (float32). The same narratives and seed give the same bytes.
Status WriteSynthBase(SynthNarratives& narratives, uint64_t seed, const std::string& directory);

}  // namespace anamnesis::prep
