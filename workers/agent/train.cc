// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/train.h"

#include <unistd.h>

#include <cstdio>

#include "workers/agent/machine.h"
#include "workers/agent/make_plan.h"
#include "workers/agent/summary.h"
#include "workers/checkpoint/manifest.h"
#include "workers/gang/rank_environment.h"
#include "workers/gang/restart_rule.h"

namespace anamnesis::agent {
namespace {

gang::GangOptions MakeGang(const RunOptions& options, const Checked& checked,
                           const Attempt& attempt, const std::vector<std::string>& plans) {
  gang::GangOptions gang;
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    const std::string log = Cat(attempt.output.marker, "/rank-", rank, ".log");
    ::unlink(log.c_str());
    const gang::RankSeat seat =
        options.service ? options.service->seats[rank]
                        : gang::RankSeat{.threads = static_cast<int>(checked.sizing.threads)};
    gang.ranks.push_back({.argv = {checked.rank_program, plans[rank]},
                          .environment = gang::RankEnvironment(seat),
                          .log_path = log,
                          .cpus = seat.cpus});
  }
  gang.stall.floor = absl::Seconds(options.stall_seconds);
  return gang;
}

void Announce(const Checked& checked, const Attempt& attempt) {
  const Sizing& sizing = checked.sizing;
  std::fprintf(stderr, "%s\n", DescribeTotals("train", checked.data.train).c_str());
  if (!checked.data.plan.tuning_index.empty()) {
    std::fprintf(stderr, "%s\n", DescribeTotals("tuning", checked.data.tuning).c_str());
  }
  if (!checked.data.plan.held_out_index.empty()) {
    std::fprintf(stderr, "%s\n", DescribeTotals("held_out", checked.data.held_out).c_str());
  }
  std::fprintf(stderr,
               "run %s: %lld steps of %lld rows, %lld lanes, %lld ranks x %lld threads, %s\n",
               attempt.record.run_id.c_str(), static_cast<long long>(checked.data.total_steps),
               static_cast<long long>(sizing.rows_per_step), static_cast<long long>(sizing.lanes),
               static_cast<long long>(sizing.ranks), static_cast<long long>(sizing.threads),
               checked.model.plan.dtype.c_str());
}

// The step that a resume would continue from.
int64_t NewestCheckpointStep(const std::string& directory) {
  const StatusOr<std::vector<checkpoint::CheckpointPath>> all =
      checkpoint::ListCheckpoints(directory);
  return all.ok() && !all->empty() ? all->back().step : 0;
}

}  // namespace

Status Train(const RunOptions& options, const Checked& checked, const Attempt& attempt,
             TrainHooks hooks, StepCounter& counter, Progress& progress, gang::Outcome* outcome) {
  const std::string& marker = attempt.output.marker;
  const PlanInput input{.config = checked.config,
                        .model = checked.model,
                        .data = checked.data,
                        .sizing = checked.sizing,
                        .record = attempt.record,
                        .output_directory = attempt.output.directory,
                        .resume_checkpoint = attempt.checkpoint,
                        .steps_executed_before = attempt.executed_before,
                        .rank_interface = options.service ? options.service->rank_interface : "",
                        .on_gpus = options.service && !options.service->seats[0].gpu.empty()};
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> plans, WritePlans(MakePlan(input), marker));
  Announce(checked, attempt);
  const Sizing& sizing = checked.sizing;
  gang::GangOptions gang = MakeGang(options, checked, attempt, plans);
  gang.interrupt_fd = hooks.interrupt_fd;
  gang.mailbox = hooks.mailbox;
  gang.keep_survivors = hooks.keep_survivors;
  gang.survivors = std::move(hooks.survivors);
  for (int64_t rank = 0; hooks.remote != nullptr && rank < sizing.ranks; ++rank) {
    gang.elsewhere.push_back(hooks.remote->StarterOf(rank));
  }
  *outcome = gang::RunGang(std::move(gang), progress);

  SummaryInput summary{.figures = progress.figures(),
                       .outcome = *outcome,
                       .data = checked.data,
                       .run_id = attempt.record.run_id,
                       .attempt = attempt.record.attempt,
                       .output_directory = attempt.output.directory,
                       .whole_model = TrainsWholeModel(checked.config),
                       .tensorboard_directory = attempt.record.tensorboard_directory,
                       .resumed_step = attempt.resumed_step,
                       .steps_executed = attempt.executed_before + counter.count(),
                       .wall_seconds = absl::ToInt64Seconds(SinceProcessStart())};
  if (!outcome->status.ok()) {
    const gang::RestartAdvice advice =
        gang::AdviseRestart(outcome->status, NewestCheckpointStep(attempt.output.directory));
    summary.advice = advice.reason;
    if (advice.choice == gang::RestartChoice::kTellUserToResume)
      summary.resume_command = hooks.resume_command;
  }
  const Status written =
      WriteFileDurably(marker + "/summary.json", SummaryJson(summary).dump(2) + "\n");
  if (outcome->culprit >= 0) {
    std::fprintf(stderr, "the rank's own log: %s/rank-%d.log\n", marker.c_str(), outcome->culprit);
  }
  std::fputs(SummaryText(summary).c_str(), stderr);
  ANAM_RETURN_IF_ERROR(outcome->status);
  if (!options.keep_plan) {
    for (const std::string& plan : plans) ::unlink(plan.c_str());
  }
  return written;
}

}  // namespace anamnesis::agent
