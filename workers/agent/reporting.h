// SPDX-License-Identifier: Apache-2.0
// What the ranks report, passed on to the coordinator (and to the log, as of Progress). Loop thread
// only.
#pragma once

#include <string>

#include "anamnesis/v1/job.pb.h"
#include "workers/agent/progress.h"
#include "workers/agent/session.h"
#include "workers/agent/upload_commits.h"

namespace anamnesis::agent {

class Reporting : public Progress {
 public:
  struct Run {
    int64_t epoch = 0;
    int64_t total_steps = 0;
    int64_t resumed_step = 0;
    int64_t steps_executed_before = 0;
    int64_t logging_steps = 1;
    int64_t num_ranks = 1;
    std::vector<std::string> notes = {};
    std::vector<int> kept_ranks = {};  // whose processes go on from the epoch before
    v1::DataFacts data = {};
    UploadCommits* uploads = nullptr;  // of a node with an output folder of its own
  };
  // All outlive this.
  Reporting(const Run& run, StepCounter* counter, Session& session, gang::Mailbox& mailbox);

  void OnStarted(int rank, const Json& message) override;
  void OnStep(int rank, const contract::StepReport& report) override;
  void OnEval(int rank, const contract::EvalReport& report) override;
  std::optional<gang::CommitAnswer> OnCommit(int rank, const gang::CommitRequest& request) override;
  void OnSaved(int rank, int64_t step, const std::string& path, double seconds) override;

 private:
  const Run run_;
  Session& session_;
  gang::Mailbox& mailbox_;
};

}  // namespace anamnesis::agent
