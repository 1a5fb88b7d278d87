// SPDX-License-Identifier: Apache-2.0
// model.pretrained_checkpoint: what a fine-tuning starts from.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/adapter/targets.h"

namespace anamnesis::agent {

// One of the two is set.
struct StartingPoint {
  std::string adapter;      // folder with adapter_config.json
  std::string whole_model;  // folder with config.json and weights, taken as the base model
};

// `path`: a folder with an adapter or a whole model, or a run's output folder with a final_model in
// it. kNotFound, kInvalidArgument say what is there instead.
StatusOr<StartingPoint> FindStartingPoint(const std::string& path);

// Whether the training of `wanted` may start from this adapter. `base_digests`: those under which
// our manifests know the base model; an adapter with a manifest that names another base is refused.
// What it holds of tensors is checked by the ranks.
Status CheckInitialAdapter(const std::string& adapter, const std::vector<std::string>& base_digests,
                           const adapter::TargetPlan& wanted,
                           const std::vector<std::string>& linear_names,
                           const std::vector<std::string>& saveable_names);

}  // namespace anamnesis::agent
