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

// A plan as it applies to one model, and what the user should know of the difference.
struct FittedPlan {
  contract::LoraPlan lora;
  std::vector<std::string> notes;  // one sentence each
};

// Fits a plan to the model's modules, before PlanTargets and before adapter_config.json is written:
// - listed targets q_proj, k_proj, v_proj become qkv_proj, and gate_proj, up_proj become
//   gate_up_proj, where the model has the fused projection alone (Phi-3; PEFT itself would leave
//   these layers out without a word);
// - a list or all-linear on the text model inside a multimodal one becomes the regular expression
//   that matches the same layers, so that PEFT leaves the vision tower alone.
FittedPlan FitPlan(const contract::LoraPlan& plan, const std::vector<std::string>& linear_names);

// The head of a classifier on a causal model, a module of its own: [C, D], no bias.
inline constexpr char kScoreModule[] = "score";

// Fits a plan to such a classifier, after FitPlan: lm_head, which it has not, leaves
// modules_to_save (a note says so), and `score` is in it, as PEFT has it in every SEQ_CLS adapter.
void FitToClassifier(FittedPlan* plan);

// Whether the training of `wanted` may start from the adapter `found` in `source`: every layer that
// `found` changes is changed by `wanted`, too, with the same r and scale. What `found` saves whole
// must be saved, but for lm_head in a classifier. kInvalidArgument names the first difference and
// the key to set.
Status CheckStartsFrom(const TargetPlan& wanted, const TargetPlan& found,
                       const std::string& source);

// `linear_names`: the model's linear layers in order, lm_head last; `saveable_names`: modules that
// modules_to_save may name. kInvalidArgument: a target, excluded, saved or pattern name that
// matches nothing (candidates are listed), r < 1, a bad regular expression. kUnimplemented: bias
// other than none and lora_only, LoRA on lm_head, a module_to_save that is not saveable.
StatusOr<TargetPlan> PlanTargets(const contract::LoraPlan& plan,
                                 const std::vector<std::string>& linear_names,
                                 const std::vector<std::string>& saveable_names);

}  // namespace anamnesis::adapter
