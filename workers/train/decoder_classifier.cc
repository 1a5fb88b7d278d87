// SPDX-License-Identifier: Apache-2.0
#include "workers/train/decoder_classifier.h"

#include <ATen/ATen.h>

#include <utility>

#include "workers/encoder/operations.h"
#include "workers/train/causal_learner.h"

namespace anamnesis::train {

StatusOr<std::unique_ptr<Learner>> DecoderClassifier::Open(const contract::TrainPlan& plan,
                                                           at::Device device) {
  const contract::ClassifierPlan& classifier = plan.classifier;
  const auto num_labels = static_cast<int64_t>(classifier.class_names.size());
  if (num_labels < 2) {
    return InvalidArgument("plan: classifier.class_names: ", num_labels,
                           " names: expected at least two");
  }
  ANAM_ASSIGN_OR_RETURN(auto model,
                        adapter::TrainableModel::LoadClassifier(plan.model, plan.lora, num_labels,
                                                                plan.training.seed, device));
  ANAM_RETURN_IF_ERROR(StartAsPlanned(plan, *model));
  ANAM_ASSIGN_OR_RETURN(std::unique_ptr<DecoderClassifier> learner,
                        Create(std::move(model), {.focal = classifier.loss == "focal",
                                                  .gamma = classifier.focal_gamma,
                                                  .class_weights = classifier.class_weights}));
  return std::unique_ptr<Learner>(std::move(learner));
}

StatusOr<std::unique_ptr<DecoderClassifier>> DecoderClassifier::Create(
    std::unique_ptr<adapter::TrainableModel> model, const encoder::ClassLossOptions& loss) {
  ANAM_RETURN_IF_ERROR(encoder::CheckClassLoss(loss, model->score().size(0)));
  std::unique_ptr<DecoderClassifier> learner(new DecoderClassifier());
  learner->score_.name = adapter::kScoreModule;
  learner->score_.weight = model->score();
  learner->score_.Install(std::make_unique<encoder::TrainedLinear>());
  learner->model_ = std::move(model);
  learner->loss_ = loss;
  return learner;
}

at::Tensor DecoderClassifier::Logits(std::span<const stream::PackedRow> rows,
                                     const adapter::DropoutContext& dropout) {
  const model::PackedBatch batch = model::PackBatch(ViewsOf(rows), flat_parameters().device());
  return score_.Forward(model_->LastHidden(batch, dropout));
}

LossSum DecoderClassifier::Loss(std::span<const stream::PackedRow> rows,
                                const adapter::DropoutContext& dropout) {
  std::vector<int64_t> labels;
  for (const stream::PackedRow& row : rows) labels.push_back(row.label);
  const at::Tensor labels_B = at::tensor(labels, at::kLong).to(flat_parameters().device());
  const encoder::ClassLossSum sum = encoder::ClassLoss(Logits(rows, dropout), labels_B, loss_);
  return {sum.loss, sum.weight};
}

at::Tensor DecoderClassifier::Scores(std::span<const stream::PackedRow> rows) {
  const at::NoGradGuard no_grad;
  return Logits(rows, adapter::DropoutContext()).to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace anamnesis::train
