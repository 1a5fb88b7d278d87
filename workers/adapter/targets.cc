// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/targets.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <regex>
#include <set>

namespace anamnesis::adapter {
namespace {

constexpr size_t kMaxPatternLength = 1000;

// PEFT's rule for a listed name: the whole module path or its end after a dot.
bool EndsWith(const std::string& module, const std::string& name) {
  return module == name || module.ends_with("." + name);
}

bool AnyEndsWith(const std::string& module, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return EndsWith(module, name); });
}

// "q_proj, k_proj, …": the last parts of the module paths, each once, in order.
std::string Candidates(const std::vector<std::string>& modules) {
  std::set<std::string> seen;
  std::string text;
  for (const std::string& module : modules) {
    const std::string last = module.substr(module.rfind('.') + 1);
    if (seen.insert(last).second) text += (text.empty() ? "" : ", ") + last;
  }
  return text;
}

StatusOr<std::regex> Compile(const std::string& key, const std::string& pattern) {
  if (pattern.size() > kMaxPatternLength) {
    return InvalidArgument("lora.", key, ": a pattern of ", pattern.size(),
                           " characters; expected at most ", kMaxPatternLength);
  }
  try {
    return std::regex(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error&) {
    return InvalidArgument("lora.", key, ": '", pattern, "' is not a valid regular expression");
  }
}

bool Matches(const std::regex& pattern, const std::string& module) {
  try {
    return std::regex_match(module, pattern);
  } catch (const std::regex_error&) {  // too complex for the library
    return false;
  }
}

Status CheckPlan(const contract::LoraPlan& plan) {
  if (plan.r < 1) return InvalidArgument("lora.r: ", plan.r, ": expected at least 1");
  if (!(plan.dropout >= 0 && plan.dropout < 1)) {
    return InvalidArgument("lora.dropout: ", plan.dropout, ": expected 0 ≤ dropout < 1");
  }
  if (plan.bias != "none" && plan.bias != "lora_only") {
    return Unimplemented("lora.bias: ", plan.bias, " is not built yet; supported: none, lora_only");
  }
  const int kinds = (plan.target_modules.empty() ? 0 : 1) + (plan.target_regex.empty() ? 0 : 1) +
                    (plan.all_linear ? 1 : 0);
  if (kinds != 1) {
    return InvalidArgument("lora.target_modules: expected a list of names, one regular expression ",
                           "or all-linear");
  }
  for (const auto& [pattern, rank] : plan.rank_pattern) {
    if (rank < 1) return InvalidArgument("lora.rank_pattern: '", pattern, "': ", rank, " < 1");
  }
  return absl::OkStatus();
}

// The modules that LoRA changes, in the order of `linear_names`.
StatusOr<std::vector<std::string>> MatchTargets(const contract::LoraPlan& plan,
                                                const std::vector<std::string>& linear_names,
                                                const std::vector<std::string>& saveable_names) {
  std::optional<std::regex> pattern;
  if (!plan.target_regex.empty()) {
    ANAM_ASSIGN_OR_RETURN(pattern, Compile("target_modules", plan.target_regex));
  }
  const auto is_target = [&](const std::string& module) {
    if (plan.all_linear) return module != "lm_head";
    if (pattern.has_value()) return Matches(*pattern, module);
    return AnyEndsWith(module, plan.target_modules);
  };
  const auto is_excluded = [&](const std::string& module) {
    return AnyEndsWith(module, plan.exclude_modules) || AnyEndsWith(module, plan.modules_to_save);
  };
  std::vector<std::string> matched;
  for (const std::string& module : linear_names) {
    if (is_target(module) && !is_excluded(module)) matched.push_back(module);
  }
  for (const std::string& module : saveable_names) {
    if (is_target(module) && !is_excluded(module) && !plan.all_linear) {
      return Unimplemented("lora.target_modules: LoRA on ", module,
                           " is not built yet; modules_to_save trains it whole");
    }
  }
  for (const std::string& name : plan.target_modules) {
    if (!std::any_of(matched.begin(), matched.end(),
                     [&](const std::string& module) { return EndsWith(module, name); })) {
      return InvalidArgument("lora.target_modules: '", name,
                             "' matches no linear layer of the model that is not excluded; ",
                             "candidates: ", Candidates(linear_names));
    }
  }
  if (matched.empty()) {
    return InvalidArgument("lora.target_modules matches no linear layer of the model; candidates: ",
                           Candidates(linear_names));
  }
  return matched;
}

// The value of the first pattern that matches the module (PEFT: `(.*\.)?(pattern)$`).
template <typename Value>
Status ApplyPattern(const std::string& key, const std::map<std::string, Value>& patterns,
                    const std::vector<std::string>& modules, std::vector<Value>* values) {
  std::vector<bool> decided(modules.size(), false);
  for (const auto& [text, value] : patterns) {
    ANAM_ASSIGN_OR_RETURN(const std::regex pattern, Compile(key, "(.*\\.)?(" + text + ")"));
    bool used = false;
    for (size_t i = 0; i < modules.size(); ++i) {
      if (!Matches(pattern, modules[i])) continue;
      used = true;
      if (!decided[i]) (*values)[i] = value;
      decided[i] = true;
    }
    if (!used) {
      return InvalidArgument("lora.", key, ": '", text, "' matches no module with an adapter; ",
                             "candidates: ", Candidates(modules));
    }
  }
  return absl::OkStatus();
}

bool HasModule(const std::vector<std::string>& linear_names, const std::string& name) {
  return std::any_of(linear_names.begin(), linear_names.end(),
                     [&](const std::string& module) { return EndsWith(module, name); });
}

// Replaces the parts of a fused projection in a list of names, in place, each fused name once.
void FuseNames(const std::vector<std::string>& linear_names, std::vector<std::string>* names,
               std::vector<std::string>* notes) {
  static const std::map<std::string, std::vector<std::string>> kFused = {
      {"qkv_proj", {"q_proj", "k_proj", "v_proj"}}, {"gate_up_proj", {"gate_proj", "up_proj"}}};
  for (const auto& [fused, parts] : kFused) {
    if (!HasModule(linear_names, fused)) continue;
    std::vector<std::string> kept;
    std::string replaced;
    bool has_fused = false;
    for (const std::string& name : *names) {
      const bool is_part = std::find(parts.begin(), parts.end(), name) != parts.end() &&
                           !HasModule(linear_names, name);
      if (is_part) replaced += (replaced.empty() ? "" : ", ") + name;
      if ((is_part || name == fused) && !has_fused) kept.push_back(fused);
      if (!is_part && name != fused) kept.push_back(name);
      has_fused = has_fused || is_part || name == fused;
    }
    if (replaced.empty()) continue;
    *names = std::move(kept);
    notes->push_back(Cat("lora.target_modules: this model fuses its projections: ", replaced,
                         " became ", fused, " (one adapter on the fused layer)"));
  }
}

// The regular expression of the listed names below the text model of a multimodal one.
std::string NestedRegex(const std::vector<std::string>& names) {
  std::string text = "model\\.language_model\\..*\\.(";
  for (size_t i = 0; i < names.size(); ++i) {
    text += i == 0 ? "" : "|";
    for (const char c : names[i]) text += c == '.' ? std::string("\\.") : std::string(1, c);
  }
  return text + ")";
}

}  // namespace

FittedPlan FitPlan(const contract::LoraPlan& plan, const std::vector<std::string>& linear_names) {
  FittedPlan out{plan, {}};
  FuseNames(linear_names, &out.lora.target_modules, &out.notes);
  const bool nested = !linear_names.empty() && linear_names[0].starts_with("model.language_model.");
  if (!nested || !plan.target_regex.empty()) return out;
  std::vector<std::string> names = out.lora.target_modules;
  if (plan.all_linear) {
    for (const std::string& module : linear_names) {
      const std::string last = module.substr(module.rfind('.') + 1);
      const bool known = std::find(names.begin(), names.end(), last) != names.end();
      if (module != "lm_head" && !known) names.push_back(last);
    }
  }
  for (const std::string& name : names) {
    if (!HasModule(linear_names, name) || name.find('.') == 0) return out;  // PlanTargets says it
  }
  out.lora.target_modules.clear();
  out.lora.all_linear = false;
  out.lora.target_regex = NestedRegex(names);
  out.notes.push_back(
      "lora.target_modules: only the text model is trained, written as the regular "
      "expression " +
      out.lora.target_regex);
  return out;
}

void FitToClassifier(FittedPlan* plan) {
  std::vector<std::string>& saved = plan->lora.modules_to_save;
  const auto remove = [&saved](const std::string& name) { return std::erase(saved, name) > 0; };
  if (remove("lm_head")) {
    plan->notes.push_back("lora.modules_to_save: a classifier has no lm_head; it is left out");
  }
  remove("classifier");  // PEFT lists it, and no causal model has it
  remove(kScoreModule);
  saved.emplace_back(kScoreModule);
}

Status CheckStartsFrom(const TargetPlan& wanted, const TargetPlan& found,
                       const std::string& source) {
  const auto is_saved = [](const TargetPlan& plan, const std::string& module) {
    return std::find(plan.saved_modules.begin(), plan.saved_modules.end(), module) !=
           plan.saved_modules.end();
  };
  for (const std::string& module : found.saved_modules) {
    const bool lost_head = module == "lm_head" && is_saved(wanted, kScoreModule);
    if (is_saved(wanted, module) || lost_head) continue;
    return InvalidArgument(source, ": was trained with ", module,
                           " saved whole: add it to lora.modules_to_save");
  }
  for (const LoraTarget& have : found.lora) {
    const auto want = std::find_if(wanted.lora.begin(), wanted.lora.end(),
                                   [&](const LoraTarget& t) { return t.module == have.module; });
    if (want == wanted.lora.end()) {
      return InvalidArgument(source, ": changes ", have.module,
                             ", which lora.target_modules does not name: name it, too");
    }
    if (want->r != have.r) {
      return InvalidArgument(source, ": r of ", have.module, " is ", have.r, ", lora.r asks for ",
                             want->r, ": set lora.r to ", have.r);
    }
    if (std::abs(want->scale - have.scale) > 1e-9 * std::abs(have.scale)) {
      return InvalidArgument(source, ": the scale of ", have.module, " is ", have.scale,
                             ", the configuration's ", want->scale,
                             ": set lora.lora_alpha and lora.use_rslora as they were");
    }
  }
  return absl::OkStatus();
}

StatusOr<TargetPlan> PlanTargets(const contract::LoraPlan& plan,
                                 const std::vector<std::string>& linear_names,
                                 const std::vector<std::string>& saveable_names) {
  ANAM_RETURN_IF_ERROR(CheckPlan(plan));
  for (const std::string& name : plan.exclude_modules) {
    if (!std::any_of(linear_names.begin(), linear_names.end(),
                     [&](const std::string& module) { return EndsWith(module, name); })) {
      return InvalidArgument("lora.exclude_modules: '", name, "' matches no linear layer; ",
                             "candidates: ", Candidates(linear_names));
    }
  }
  TargetPlan out;
  for (const std::string& module : saveable_names) {
    if (AnyEndsWith(module, plan.modules_to_save)) out.saved_modules.push_back(module);
  }
  for (const std::string& name : plan.modules_to_save) {
    if (std::any_of(saveable_names.begin(), saveable_names.end(),
                    [&](const std::string& module) { return EndsWith(module, name); })) {
      continue;
    }
    return Unimplemented("lora.modules_to_save: '", name,
                         "' is not built yet; supported: ", Candidates(saveable_names));
  }
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> modules,
                        MatchTargets(plan, linear_names, saveable_names));
  std::vector<int> ranks(modules.size(), plan.r);
  std::vector<double> alphas(modules.size(), plan.alpha);
  ANAM_RETURN_IF_ERROR(ApplyPattern("rank_pattern", plan.rank_pattern, modules, &ranks));
  ANAM_RETURN_IF_ERROR(ApplyPattern("alpha_pattern", plan.alpha_pattern, modules, &alphas));
  for (size_t i = 0; i < modules.size(); ++i) {
    const double rank = ranks[i];
    const double scale = alphas[i] / (plan.use_rslora ? std::sqrt(rank) : rank);
    out.lora.push_back({modules[i], ranks[i], scale});
  }
  return out;
}

}  // namespace anamnesis::adapter
