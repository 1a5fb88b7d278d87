// SPDX-License-Identifier: Apache-2.0
// A plan's JSON text. What is accepted comes out as it went in.
#include <string_view>

#include "tests/fuzz/fuzz.h"
#include "workers/contract/plan.h"

namespace {

using anamnesis::contract::TrainPlan;

anamnesis::StatusOr<TrainPlan> PlanOf(std::string_view text) {
  ANAM_ASSIGN_OR_RETURN(const anamnesis::Json json, anamnesis::ParseJson(text, "fuzz"));
  return anamnesis::contract::TrainPlanFromJson(json, "fuzz");
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  TrainPlan plan;
  plan.gang = {.run_id = "r\xc3\xa9", .epoch = 3, .rank = 1, .num_ranks = 2, .threads = 1};
  plan.model = {.name = "base", .directory = "/m", .sha256 = "aa", .initial_adapter = "/a"};
  plan.lora.target_modules = {"q_proj", "v_proj"};
  plan.lora.rank_pattern = {{"q_proj", 4}};
  plan.lora.alpha_pattern = {{"q_proj", 0.5}, {"v_proj", 1e300}};
  plan.data.stream = {{"max_length", 64}, {"list", {1, -2.5, nullptr, true, "\"\\\n"}}};
  plan.training.lanes = 4;
  plan.training.learning_rate = 2e-4;
  plan.training.seed = UINT64_MAX;
  plan.training.total_steps = plan.training.steps_per_epoch = 10;
  plan.output.resolved_spec = {{"model", {{"max_length", 64}}}};
  return {anamnesis::contract::ToJson(plan).dump(),
          R"({"version": 1, "gang": {"epoch": 1e3, "rank": -0.0}, "task": "\u00e9\ud83d\ude00"})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto plan = PlanOf(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!plan.ok()) {
    return plan.status().code() == absl::StatusCode::kInvalidArgument ? 0 : (__builtin_trap(), 0);
  }
  const anamnesis::Json json = anamnesis::contract::ToJson(*plan);
  const auto again = PlanOf(json.dump());
  if (!again.ok() || anamnesis::contract::ToJson(*again) != json) __builtin_trap();
  return 0;
}
