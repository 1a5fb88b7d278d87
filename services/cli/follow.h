// SPDX-License-Identifier: Apache-2.0
// Follows jobs to their end, their course on standard error. Main thread only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "anamnesis/v1/job.pb.h"
#include "services/cli/command_line.h"

namespace anamnesis::cli {

struct FollowOptions {
  std::vector<std::string> names;
  absl::Duration timeout = absl::InfiniteDuration();
  bool events = false;  // also a line for each evaluation and checkpoint
};

struct Followed {
  std::map<std::string, v1::Job> jobs;  // as last seen
  // OK when all have ended. kDeadlineExceeded after the timeout, kAborted after Ctrl-C, else what
  // the coordinator said.
  Status status;
};

Followed FollowJobs(Client& client, const FollowOptions& options, const CommonFlags& flags);

// The worst outcome of jobs that have ended: 8 for one that failed, expired or was rejected, else 9
// for one that was cancelled, else 0.
int OutcomeCode(const std::map<std::string, v1::Job>& jobs);

// 130, after saying that the jobs go on and how to follow them again.
int SayInterrupted(const std::vector<std::string>& names, const CommonFlags& flags,
                   const std::string& verb);

}  // namespace anamnesis::cli
