// SPDX-License-Identifier: Apache-2.0
// What Slurm's programs print, read into types. Bounded; any bytes are taken, lines about jobs that
// are not of this coordinator are passed over. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "services/launch/slurm_batch.h"

namespace anamnesis::launch {

// Slurm's states of a job, as far as they differ for us.
enum class SlurmState {
  kPending,    // also configuring: its nodes are being started
  kRunning,    // also completing, suspended …: it has nodes
  kRequeued,   // back in the queue
  kCompleted,  // exit code 0
  kFailed,
  kCancelled,
  kTimeLimit,
  kNodeFail,
  kPreempted,
  kOutOfMemory,
  kUnknown,  // a word that no Slurm we know has; taken for a job that is there
};
bool IsOver(SlurmState state);
SlurmState SlurmStateFromName(const std::string& name);  // "CANCELLED by 1000" too

// A job's number. kDataLoss for anything else than "4711\n" or "4711;cluster\n".
StatusOr<int64_t> ParseSbatch(const std::string& output);

// Of `squeue --noheader --states=all --format=`kSqueueFormat.
inline constexpr char kSqueueFormat[] = "%i|%T|%j|%k|%r";
struct SlurmJob {
  int64_t id = 0;
  SlurmTag tag;
  SlurmState state = SlurmState::kUnknown;
  std::string state_name, reason;  // as Slurm says it; "" for no reason
};
// Those that are tagged by `identity`. kDataLoss: a line with our tag that cannot be read.
StatusOr<std::vector<SlurmJob>> ParseSqueue(const std::string& output, const std::string& identity);

// Of `sacct --noheader --parsable2 --allocations --format=JobID,State`.
struct SlurmAccount {
  SlurmState state = SlurmState::kUnknown;
  std::string state_name;
};
std::map<int64_t, SlurmAccount> ParseSacct(const std::string& output);

// Why sbatch did not take a job.
struct SlurmRefusal {
  enum class Kind {
    kInvalid,  // the operator's or the user's mistake: comes again
    kLater,    // Slurm does not answer, or takes no job now
    kOther,
  };
  Kind kind = Kind::kOther;
  std::string message;  // Slurm's own words, in one line
};
SlurmRefusal JudgeRefusal(const std::string& errors, int exit_code);
// What a program of Slurm's complained of, in one line of printable text.
std::string SlurmWords(const std::string& errors);

}  // namespace anamnesis::launch
