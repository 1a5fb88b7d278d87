// SPDX-License-Identifier: Apache-2.0
// The plans of a gang from everything that was resolved and checked before. Pure but for
// WritePlans.
#pragma once

#include <string>
#include <vector>

#include "workers/agent/attempts.h"
#include "workers/agent/data_stage.h"
#include "workers/agent/model_stage.h"
#include "workers/agent/sizing.h"
#include "workers/contract/plan.h"

namespace anamnesis::agent {

struct PlanInput {
  const config::JobConfig& config;
  const ModelStage& model;
  const DataStage& data;
  const Sizing& sizing;
  const RunRecord& record;
  std::string output_directory;
  std::string resume_checkpoint;
  int64_t steps_executed_before = 0;
  std::string rank_interface;
  bool on_gpus = false;
};

// The plan of rank 0; the others differ in gang.rank alone.
contract::TrainPlan MakePlan(const PlanInput& input);

// Writes plan-rank-N.json of every rank into `marker`; returns their paths.
StatusOr<std::vector<std::string>> WritePlans(const contract::TrainPlan& plan,
                                              const std::string& marker);

}  // namespace anamnesis::agent
