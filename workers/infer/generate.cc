// SPDX-License-Identifier: Apache-2.0
#include "workers/infer/generate.h"

#include <algorithm>
#include <cmath>

#include "workers/model/cached_decoder.h"

namespace anamnesis::infer {
namespace {

Status CheckPrompt(std::span<const int64_t> prompt, const model::ModelConfig& config) {
  if (prompt.empty()) return InvalidArgument("--prompt: expected text, found none");
  const auto length = static_cast<int64_t>(prompt.size());
  if (length > config.max_position_embeddings) {
    return InvalidArgument("--prompt: ", length, " tokens, the model has ",
                           config.max_position_embeddings,
                           " positions (max_position_embeddings): shorten it");
  }
  const bool outside = std::any_of(prompt.begin(), prompt.end(),
                                   [&](int64_t id) { return id < 0 || id >= config.vocab_size; });
  if (!outside) return absl::OkStatus();
  return InvalidArgument("tokenizer and model disagree: the prompt has ids beyond the model's ",
                         "vocab_size ", config.vocab_size);
}

// HF chooses from fp32 scores whatever the model's dtype.
std::vector<float> ScoresOf(const at::Tensor& logits_V) {
  const at::Tensor scores = logits_V.to(at::kCPU, at::kFloat).contiguous();
  const float* begin = scores.const_data_ptr<float>();
  return {begin, begin + scores.numel()};
}

}  // namespace

StatusOr<Generated> Generate(const model::Decoder& decoder, std::span<const int64_t> prompt,
                             const GenerationConfig& config, const GenerateOptions& options) {
  ANAM_RETURN_IF_ERROR(CheckPrompt(prompt, decoder.config()));
  Generated out;
  Sampler sampler(options.sampling);
  model::CachedDecoder cached(decoder);
  std::vector<int64_t> sequence(prompt.begin(), prompt.end());
  std::span<const int64_t> next = prompt;
  while (!out.ended && static_cast<int64_t>(out.ids.size()) < options.max_new_tokens) {
    std::vector<float> scores = ScoresOf(cached.Append(next));
    if (!std::all_of(scores.begin(), scores.end(), [](float x) { return std::isfinite(x); })) {
      return InvalidArgument("the model's logits are not finite: its weights, or those of its ",
                             "adapter, are damaged");
    }
    if (config.repetition_penalty != 1) {
      PenaliseRepetition(sequence, config.repetition_penalty, scores);
    }
    const int64_t id = sampler.Choose(scores);
    out.ids.push_back(id);
    sequence.push_back(id);
    next = {&out.ids.back(), 1};
    out.ended = std::find(config.eos_token_ids.begin(), config.eos_token_ids.end(), id) !=
                config.eos_token_ids.end();
  }
  return out;
}

}  // namespace anamnesis::infer
