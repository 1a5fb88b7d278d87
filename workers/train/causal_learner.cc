// SPDX-License-Identifier: Apache-2.0
#include "workers/train/causal_learner.h"

#include <ATen/ATen.h>

#include "workers/model/packed_batch.h"

namespace anamnesis::train {

StatusOr<std::unique_ptr<Learner>> CausalLearner::Open(const contract::TrainPlan& plan,
                                                       at::Device device) {
  ANAM_ASSIGN_OR_RETURN(
      auto model, adapter::TrainableModel::Load(plan.model, plan.lora, plan.training.seed, device));
  return std::make_unique<CausalLearner>(std::move(model));
}

LossSum CausalLearner::Loss(std::span<const stream::PackedRow> rows,
                            const adapter::DropoutContext& dropout) {
  std::vector<model::RowView> views;
  for (const stream::PackedRow& row : rows) views.push_back({row.ids, row.segment_lengths});
  const model::PackedBatch batch = model::PackBatch(views, flat_parameters().device());
  const auto num_labels = static_cast<double>(batch.num_labels);
  return {model_->LossSum(batch, dropout), num_labels};
}

std::vector<ParameterSpan> CausalLearner::Layout() const {
  std::vector<ParameterSpan> layout;
  for (const adapter::NamedParameter& parameter : model_->parameters()) {
    layout.push_back({.name = parameter.name,
                      .offset = parameter.offset,
                      .size = parameter.master.numel(),
                      .weight_decay = DecaysWeight(parameter.name)});
  }
  return layout;
}

Status CausalLearner::Save(const std::string& directory) const {
  return model_->SaveAdapter(directory);
}

Status CausalLearner::Load(const std::string& directory) { return model_->LoadAdapter(directory); }

}  // namespace anamnesis::train
