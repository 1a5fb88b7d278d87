// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/checked.h"

#include <cstdio>

#include "common/process/sibling.h"
#include "workers/agent/machine.h"
#include "workers/agent/open_attempt.h"

namespace anamnesis::agent {

bool TrainsWholeModel(const config::JobConfig& config) {
  return config.task == config::Task::kFinetuneBert && !config.lora_present;
}

StatusOr<Checked> CheckAll(const RunOptions& options, const OnPhase& on_phase) {
  Checked checked;
  ANAM_ASSIGN_OR_RETURN(
      checked.config, config::LoadJobConfig(options.config_path, options.task, options.overrides));
  const config::TrainingSection& training = checked.config.training;
  for (const std::string& note : checked.config.notes)
    std::fprintf(stderr, "note: %s\n", note.c_str());
  constexpr int64_t kMaxLanesOfAdapter = 16, kMaxLanesOfWholeModel = 4;
  ANAM_ASSIGN_OR_RETURN(
      checked.sizing,
      ResolveSizing({.max_lanes = TrainsWholeModel(checked.config) ? kMaxLanesOfWholeModel
                                                                   : kMaxLanesOfAdapter,
                     .batch_size = training.batch_size,
                     .gradient_accumulation_steps = training.gradient_accumulation_steps,
                     .lanes = training.lanes,
                     .ranks = options.ranks.has_value() ? options.ranks : checked.config.ranks,
                     .threads_per_rank = options.threads_per_rank.has_value()
                                             ? options.threads_per_rank
                                             : training.threads_per_rank,
                     .slots = options.slots,
                     .cores = UsableCores()}));
  ANAM_ASSIGN_OR_RETURN(checked.rank_program, SiblingProgram("anamnesis-rank"));
  if (on_phase) on_phase("model", 0, 0);
  ANAM_ASSIGN_OR_RETURN(checked.model, CheckModel(checked.config, {.allowed = options.allow_hub,
                                                                   .on_phase = on_phase}));
  for (const std::string& note : checked.model.notes) {
    std::fprintf(stderr, "note: %s\n", note.c_str());
  }
  // An output folder that would be refused is refused before minutes are spent on shards.
  ANAM_RETURN_IF_ERROR(CheckOutput(options, training.output_dir, training.overwrite_output_dir));
  ANAM_ASSIGN_OR_RETURN(checked.data,
                        PrepareData(options, checked.config, checked.model.plan.directory,
                                    checked.model.tokenizer_sha256, checked.sizing, on_phase));
  return checked;
}

}  // namespace anamnesis::agent
