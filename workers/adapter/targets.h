// SPDX-License-Identifier: Apache-2.0
// Which layers an adapter changes, by PEFT's rules (peft 0.21.2, tuners_utils.py
// check_target_module_exists, other.py get_pattern_key). Torch-free.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "workers/contract/plan.h"

namespace anamnesis::adapter {

struct LoraTarget {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  int r = 0;
  double scale = 0;
};

struct TargetPlan {
  std::vector<LoraTarget> lora;            // in the order of the given names
  std::vector<std::string> saved_modules;  // modules_to_save that match, in the order of the names
};

// `linear_names`: the model's linear layers in order, lm_head last; `saveable_names`: modules that
// modules_to_save may name. kInvalidArgument: a target, excluded, saved or pattern name that
// matches nothing (candidates are listed), r < 1, a bad regular expression. kUnimplemented: bias
// other than none, LoRA on lm_head, a module_to_save that is not saveable.
StatusOr<TargetPlan> PlanTargets(const contract::LoraPlan& plan,
                                 const std::vector<std::string>& linear_names,
                                 const std::vector<std::string>& saveable_names);

}  // namespace anamnesis::adapter
