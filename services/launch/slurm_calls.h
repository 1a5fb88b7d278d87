// SPDX-License-Identifier: Apache-2.0
// Slurm's own programs, run with a deadline: sbatch, squeue, scancel, sacct. Their environment is
// the coordinator's without what would change their answers. Thread-compatible.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/process/command.h"
#include "services/launch/slurm_output.h"

namespace anamnesis::launch {

class SlurmCalls {
 public:
  // `cancel_fd`: readable once no answer is of use any more. kNotFound: a program is not there.
  static StatusOr<SlurmCalls> Create(absl::Duration patience, int cancel_fd);

  struct Submitted {
    int64_t id = 0;  // 0: refused
    SlurmRefusal refusal = {};
  };
  Submitted Submit(const std::vector<std::string>& arguments, const std::string& script) const;

  // This coordinator's jobs, and those that have ended for as long as slurmctld keeps them.
  // kUnavailable, with Slurm's words, when it does not answer.
  StatusOr<std::vector<SlurmJob>> List(const std::string& identity) const;

  // What the accounting knows of jobs that slurmctld has forgotten; nothing where there is none.
  std::map<int64_t, SlurmAccount> Account(const std::vector<int64_t>& ids) const;

  // scancel of all of them: with `options` such as --signal=TERM. kUnavailable: Slurm does not
  // answer. A job that has ended is no error.
  Status Cancel(const std::vector<int64_t>& ids, const std::vector<std::string>& options) const;

 private:
  SlurmCalls() = default;
  StatusOr<CommandResult> Run(const std::string& program, std::vector<std::string> words) const;

  absl::Duration patience_;
  int cancel_fd_ = -1;
  std::string sbatch_, squeue_, scancel_, sacct_;  // paths; sacct's may be ""
  std::vector<std::string> environment_;
};

// What of an environment Slurm's programs are to see. Pure.
std::vector<std::string> SlurmEnvironment(const std::vector<std::string>& environment);

}  // namespace anamnesis::launch
