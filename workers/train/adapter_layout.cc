// SPDX-License-Identifier: Apache-2.0
#include "workers/train/adapter_layout.h"

namespace anamnesis::train {

std::vector<ParameterSpan> AdapterLayout(const adapter::TrainableModel& model) {
  std::vector<ParameterSpan> layout;
  for (const adapter::NamedParameter& parameter : model.parameters()) {
    layout.push_back({.name = parameter.name,
                      .offset = parameter.offset,
                      .size = parameter.master.numel(),
                      .weight_decay = DecaysWeight(parameter.name)});
  }
  return layout;
}

Status StartAsPlanned(const contract::TrainPlan& plan, adapter::TrainableModel& model) {
  model.base().CheckpointLayers(plan.training.gradient_checkpointing);
  if (plan.model.initial_adapter.empty() || !plan.output.resume_checkpoint.empty()) {
    return absl::OkStatus();
  }
  return AddContext(model.StartFrom(plan.model.initial_adapter), "model.pretrained_checkpoint");
}

}  // namespace anamnesis::train
