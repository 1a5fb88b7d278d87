// SPDX-License-Identifier: Apache-2.0
#include "workers/train/encoder_learner.h"

#include <ATen/ATen.h>

#include <utility>

#include "common/base/check.h"

namespace anamnesis::train {

StatusOr<std::unique_ptr<Learner>> EncoderLearner::Open(const contract::TrainPlan& plan,
                                                        at::Device device) {
  const contract::ClassifierPlan& classifier = plan.classifier;
  encoder::TrainableOptions options;
  options.num_labels = static_cast<int64_t>(classifier.class_names.size());
  options.label_names = classifier.class_names;
  options.seed = plan.training.seed;
  if (classifier.adapter) options.lora = plan.lora;
  options.loss = {.focal = classifier.loss == "focal",
                  .gamma = classifier.focal_gamma,
                  .class_weights = classifier.class_weights};
  std::unique_ptr<EncoderLearner> learner(new EncoderLearner());
  ANAM_ASSIGN_OR_RETURN(learner->model_,
                        encoder::TrainableEncoder::Load(plan.model, options, device));
  learner->model_->encoder().CheckpointLayers(plan.training.gradient_checkpointing);
  learner->is_weighted_ = !classifier.class_weights.empty();
  learner->has_adapter_ = classifier.adapter;
  return std::unique_ptr<Learner>(std::move(learner));
}

std::unique_ptr<Learner> EncoderLearner::Wrap(std::unique_ptr<encoder::TrainableEncoder> model) {
  std::unique_ptr<EncoderLearner> learner(new EncoderLearner());
  learner->model_ = std::move(model);
  return learner;
}

encoder::EncoderBatch EncoderLearner::BatchOf(std::span<const stream::PackedRow> rows) const {
  std::vector<encoder::DocumentView> documents;
  for (const stream::PackedRow& row : rows) {
    documents.push_back({.ids = row.ids, .token_types = {}, .label = row.label});
  }
  auto batch = encoder::PackDocuments(documents, model_->config(), flat_parameters().device());
  // The worker checked the model against the tokenizer and the length of the rows.
  ANAM_CHECK(batch.ok());
  return *std::move(batch);
}

LossSum EncoderLearner::Loss(std::span<const stream::PackedRow> rows,
                             const adapter::DropoutContext& dropout) {
  const encoder::ClassLossSum sum = model_->LossSum(BatchOf(rows), dropout);
  return {sum.loss, sum.weight};
}

at::Tensor EncoderLearner::Scores(std::span<const stream::PackedRow> rows) {
  return model_->Logits(BatchOf(rows)).to(at::kCPU, at::kDouble).contiguous();
}

std::vector<ParameterSpan> EncoderLearner::Layout() const {
  std::vector<ParameterSpan> layout;
  for (const encoder::EncoderParameter& parameter : model_->parameters()) {
    layout.push_back({.name = parameter.name,
                      .offset = parameter.offset,
                      .size = parameter.master.numel(),
                      .weight_decay = parameter.decays});
  }
  return layout;
}

}  // namespace anamnesis::train
