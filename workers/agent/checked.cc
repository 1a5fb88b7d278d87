// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/checked.h"

#include <cstdio>

#include "common/process/sibling.h"
#include "workers/agent/machine.h"
#include "workers/agent/open_attempt.h"

namespace anamnesis::agent {

StatusOr<Checked> CheckAll(const RunOptions& options, const OnPhase& on_phase) {
  const auto begin = [&](const char* phase) {
    if (on_phase) on_phase(phase);
  };
  Checked checked;
  ANAM_ASSIGN_OR_RETURN(
      checked.config, config::LoadJobConfig(options.config_path, options.task, options.overrides));
  const config::TrainingSection& training = checked.config.training;
  for (const std::string& note : checked.config.notes)
    std::fprintf(stderr, "note: %s\n", note.c_str());
  ANAM_ASSIGN_OR_RETURN(
      checked.sizing,
      ResolveSizing({.batch_size = training.batch_size,
                     .gradient_accumulation_steps = training.gradient_accumulation_steps,
                     .lanes = training.lanes,
                     .ranks = options.ranks.has_value() ? options.ranks : checked.config.ranks,
                     .threads_per_rank = options.threads_per_rank.has_value()
                                             ? options.threads_per_rank
                                             : training.threads_per_rank,
                     .slots = options.slots,
                     .cores = UsableCores()}));
  ANAM_ASSIGN_OR_RETURN(checked.rank_program, SiblingProgram("anamnesis-rank"));
  begin("model");
  ANAM_ASSIGN_OR_RETURN(checked.model, CheckModel(checked.config));
  // An output folder that would be refused is refused before minutes are spent on shards.
  ANAM_RETURN_IF_ERROR(CheckOutput(options, training.output_dir, training.overwrite_output_dir));
  begin("shards and index");
  ANAM_ASSIGN_OR_RETURN(checked.data,
                        PrepareData(options, checked.config, checked.model.plan.directory,
                                    checked.model.tokenizer_sha256, checked.sizing));
  return checked;
}

}  // namespace anamnesis::agent
