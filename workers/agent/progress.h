// SPDX-License-Identifier: Apache-2.0
// Progress: what the ranks report, as lines of numbers on stderr and as the figures of the summary.
// Loop thread only.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "workers/agent/attempts.h"
#include "workers/gang/gang.h"

namespace anamnesis::agent {

struct RankFigures {
  int64_t tokens = 0;
  double cpu_seconds = 0;  // of the steps
  int64_t steps = 0;
};

struct RunFigures {
  int64_t total_steps = 0;
  int64_t last_step = 0;
  double first_loss = 0;  // of the attempt's first step
  double last_loss = 0;   // mean over the last logged window
  std::optional<double> first_tuning_loss;
  std::optional<double> tuning_loss;  // of the last evaluation
  int64_t global_tokens = 0;          // of this attempt
  double step_seconds = 0;            // wall time of the steps, evaluation and saving apart
  double first_step_seconds = 0;      // from the start of the process to the end of the first step
  std::string bits_not_guaranteed;
  std::vector<RankFigures> ranks;
};

class Progress : public gang::Observer {
 public:
  // `since_start` says how long the process has run. Both streams outlive this.
  Progress(std::FILE* out, int64_t total_steps, int64_t logging_steps, int64_t num_ranks,
           StepCounter* counter, absl::Duration (*since_start)());

  void OnStarted(int rank, const Json& message) override;
  void OnStep(int rank, const contract::StepReport& report) override;
  void OnEval(int rank, const contract::EvalReport& report) override;
  std::optional<gang::CommitAnswer> OnCommit(int rank, const gang::CommitRequest& request) override;
  void OnSaved(int rank, int64_t step, const std::string& path, double seconds) override;
  void OnStopping() override;

  const RunFigures& figures() const { return figures_; }

 private:
  void LogWindow(const contract::StepReport& report);

  std::FILE* out_;
  int64_t logging_steps_;
  StepCounter* counter_;
  absl::Duration (*since_start_)();
  RunFigures figures_;
  double window_loss_ = 0;
  double window_seconds_ = 0;
  int64_t window_steps_ = 0;
  int64_t window_tokens_ = 0;
};

// "1:02:03", "4:05"; for progress lines.
std::string ClockText(double seconds);

}  // namespace anamnesis::agent
