// SPDX-License-Identifier: Apache-2.0
// The ids that a decoder writes after a prompt. Greedily they are those of HF's
// generate(do_sample=False).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "workers/infer/generation_config.h"
#include "workers/infer/sampler.h"
#include "workers/model/decoder.h"

namespace anamnesis::infer {

struct GenerateOptions {
  int64_t max_new_tokens = 128;  // ≥ 1
  SamplingOptions sampling;
};

struct Generated {
  std::vector<int64_t> ids;  // without the prompt; an EOS that ended it is the last
  bool ended = false;        // by an EOS
};

// kInvalidArgument: a prompt that is empty, longer than the model's positions or with ids beyond
// its vocabulary; logits that are not finite. Beyond the model's positions what was begun goes on,
// as in HF. Torch's exceptions fly. Errors hold no id of the prompt.
StatusOr<Generated> Generate(const model::Decoder& decoder, std::span<const int64_t> prompt,
                             const GenerationConfig& config, const GenerateOptions& options);

}  // namespace anamnesis::infer
