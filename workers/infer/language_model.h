// SPDX-License-Identifier: Apache-2.0
// A model directory opened for generation: a plain HF one, or an adapter (ours or PEFT's) on its
// base, with the tokenizer and what they say about generation.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"
#include "workers/adapter/trainable.h"
#include "workers/infer/generation_config.h"
#include "workers/model/decoder.h"
#include "workers/text/tokenizer.h"

namespace anamnesis::infer {

// Thread-compatible.
class LanguageModel {
 public:
  // `directory`: a folder with adapter_config.json, or config.json and weights, or a run's output
  // folder with a final_model in it; or a name in the Hugging Face cache. Nothing is downloaded.
  // Weights keep the dtype that config.json states. kInvalidArgument: no such folder, another
  // task's adapter, a missing or damaged file. kUnimplemented: a family that is not built.
  static StatusOr<std::unique_ptr<LanguageModel>> Open(const std::string& directory);

  const model::Decoder& decoder() const { return adapted_ ? adapted_->base() : *plain_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const GenerationConfig& generation() const { return generation_; }

 private:
  LanguageModel() = default;
  Status OpenAdapter(const std::string& directory);
  Status OpenPlain(const std::string& directory);
  Status OpenTexts(const std::string& base, const std::string& tokenizer);

  std::unique_ptr<adapter::TrainableModel> adapted_;  // one of the two
  std::unique_ptr<model::Decoder> plain_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  GenerationConfig generation_;
};

}  // namespace anamnesis::infer
