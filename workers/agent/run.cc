// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/run.h"

#include <signal.h>

#include <cstdio>

#include "workers/agent/machine.h"
#include "workers/agent/train.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::agent {
namespace {

// Between two lines of how far the preparation is.
constexpr absl::Duration kLinePause = absl::Seconds(5);

void PrintPhase(const PhaseView& view) {
  if (!view.eta_seconds) return;
  std::fprintf(stderr, "preparing: %s  %d %%  eta %s\n", view.phase.c_str(),
               static_cast<int>(100 * view.done / view.total),
               ClockText(*view.eta_seconds).c_str());
}

Status Run(const RunOptions& options) {
  PhaseMeter meter(Clock::System(), kLinePause, PrintPhase);
  ANAM_ASSIGN_OR_RETURN(const Checked checked, CheckAll(options, meter.AsOnPhase()));
  ANAM_ASSIGN_OR_RETURN(const Attempt attempt, OpenAttempt(options, checked));
  if (attempt.complete) {
    const checkpoint::FinalModel final_model =
        checkpoint::FinalModelOf(attempt.output.directory, TrainsWholeModel(checked.config));
    std::fprintf(stderr, "the run is complete already: %s\n", final_model.directory.c_str());
    return absl::OkStatus();
  }
  ANAM_ASSIGN_OR_RETURN(const FileDescriptor interrupts, CatchInterrupts());
  ANAM_ASSIGN_OR_RETURN(StepCounter counter,
                        StepCounter::Create(attempt.output.marker, attempt.record.attempt));
  Progress progress(stderr, checked.data.total_steps, checked.config.training.logging_steps,
                    checked.sizing.ranks, &counter, &SinceProcessStart);
  gang::Outcome outcome;
  return Train(options, checked, attempt,
               {.interrupt_fd = interrupts.get(), .resume_command = ResumeCommand(options)},
               counter, progress, &outcome);
}

}  // namespace

int RunCommand(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  int exit_code = 0;
  const std::optional<RunOptions> options = ParseRunOptions(argc, argv, &exit_code);
  if (!options.has_value()) return exit_code;
  const Status status = Run(*options);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", MessageOf(status).c_str());
  return ExitCodeOf(status);
}

}  // namespace anamnesis::agent
