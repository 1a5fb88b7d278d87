// SPDX-License-Identifier: Apache-2.0
#include "workers/train/learner.h"

#include <ATen/ATen.h>

#include "common/base/check.h"
#include "workers/train/causal_learner.h"
#include "workers/train/decoder_classifier.h"
#include "workers/train/encoder_learner.h"

namespace anamnesis::train {

at::Tensor Learner::Scores(std::span<const stream::PackedRow>) {
  ANAM_CHECK(false);  // not a classifier
  return {};
}

StatusOr<std::unique_ptr<Learner>> OpenLearner(const contract::TrainPlan& plan, at::Device device) {
  if (plan.task == "pretrain_llm" || plan.task == "finetune_llm") {
    return CausalLearner::Open(plan, device);
  }
  if (plan.task == "classify_llm") return DecoderClassifier::Open(plan, device);
  if (plan.task == "finetune_bert") return EncoderLearner::Open(plan, device);
  return Unimplemented("task: ", plan.task, " is not built yet");
}

}  // namespace anamnesis::train
