// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_calls.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

extern char** environ;

namespace anamnesis::launch {
namespace {

constexpr size_t kIdsPerCall = 500;

std::string Joined(const std::vector<int64_t>& ids, size_t begin) {
  std::string text;
  for (size_t i = begin; i < ids.size() && i < begin + kIdsPerCall; ++i) {
    text += Cat(text.empty() ? "" : ",", ids[i]);
  }
  return text;
}

}  // namespace

std::vector<std::string> SlurmEnvironment(const std::vector<std::string>& environment) {
  std::vector<std::string> kept;
  for (const std::string& entry : environment) {
    const std::string name = entry.substr(0, entry.find('='));
    bool drop = name == "LC_ALL" || name.starts_with("ANAMNESIS_");
    // Of a Slurm job that the coordinator itself runs in, and defaults of a user's profile.
    for (const char* start : {"SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SACCT_"}) {
      drop = drop || name.starts_with(start);
    }
    for (const char* needed : {"SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS"}) {
      if (name == needed) drop = false;
    }
    if (!drop) kept.push_back(entry);
  }
  kept.push_back("LC_ALL=C");
  return kept;
}

StatusOr<SlurmCalls> SlurmCalls::Create(absl::Duration patience, int cancel_fd) {
  SlurmCalls calls;
  calls.patience_ = patience;
  calls.cancel_fd_ = cancel_fd;
  const char* path = std::getenv("PATH");
  const std::string search = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  for (const auto& [name, place] : {std::pair{"sbatch", &calls.sbatch_},
                                    {"squeue", &calls.squeue_},
                                    {"scancel", &calls.scancel_}}) {
    StatusOr<std::string> found = FindProgram(name, search);
    if (!found.ok()) return AddContext(found.status(), "--launcher slurm");
    *place = *std::move(found);
  }
  calls.sacct_ = FindProgram("sacct", search).value_or("");
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  calls.environment_ = SlurmEnvironment(environment);
  return calls;
}

StatusOr<CommandResult> SlurmCalls::Run(const std::string& program,
                                        std::vector<std::string> words) const {
  words.insert(words.begin(), program);
  return RunCommand({.argv = std::move(words),
                     .environment = environment_,
                     .patience = patience_,
                     .cancel_fd = cancel_fd_});
}

SlurmCalls::Submitted SlurmCalls::Submit(const std::vector<std::string>& arguments,
                                         const std::string& script) const {
  std::vector<std::string> words = arguments;
  words.push_back(script);
  const StatusOr<CommandResult> result = Run(sbatch_, std::move(words));
  if (!result.ok()) {
    const bool hangs = result.status().code() == absl::StatusCode::kDeadlineExceeded;
    return {.refusal = {.kind = hangs ? SlurmRefusal::Kind::kLater : SlurmRefusal::Kind::kOther,
                        .message = MessageOf(result.status())}};
  }
  if (result->exit.signal != 0 || result->exit.exit_code != 0) {
    return {.refusal = JudgeRefusal(result->errors, result->exit.exit_code)};
  }
  const StatusOr<int64_t> id = ParseSbatch(result->output);
  if (!id.ok()) return {.refusal = {.message = MessageOf(id.status())}};
  return {.id = *id};
}

StatusOr<std::vector<SlurmJob>> SlurmCalls::List(const std::string& identity) const {
  const StatusOr<CommandResult> result = Run(
      squeue_,
      {"--noheader", "--states=all", Cat("--user=", ::getuid()), Cat("--format=", kSqueueFormat)});
  if (!result.ok()) return Unavailable(MessageOf(result.status()));
  if (result->exit.signal != 0 || result->exit.exit_code != 0) {
    return Unavailable("squeue: ", JudgeRefusal(result->errors, result->exit.exit_code).message);
  }
  return ParseSqueue(result->output, identity);
}

std::map<int64_t, SlurmAccount> SlurmCalls::Account(const std::vector<int64_t>& ids) const {
  std::map<int64_t, SlurmAccount> accounts;
  for (size_t begin = 0; begin < ids.size() && !sacct_.empty(); begin += kIdsPerCall) {
    const StatusOr<CommandResult> result =
        Run(sacct_, {"--noheader", "--parsable2", "--allocations", "--format=JobID,State",
                     "--jobs=" + Joined(ids, begin)});
    if (result.ok() && result->exit.exit_code == 0) accounts.merge(ParseSacct(result->output));
  }
  return accounts;
}

Status SlurmCalls::Cancel(const std::vector<int64_t>& ids,
                          const std::vector<std::string>& options) const {
  for (size_t begin = 0; begin < ids.size(); begin += kIdsPerCall) {
    std::vector<std::string> words = options;
    words.push_back("--quiet");
    for (size_t i = begin; i < ids.size() && i < begin + kIdsPerCall; ++i) {
      words.push_back(std::to_string(ids[i]));
    }
    const StatusOr<CommandResult> result = Run(scancel_, std::move(words));
    if (!result.ok()) return Unavailable(MessageOf(result.status()));
    const SlurmRefusal refusal = JudgeRefusal(result->errors, result->exit.exit_code);
    if (result->exit.exit_code != 0 && refusal.kind == SlurmRefusal::Kind::kLater) {
      return Unavailable("scancel: ", refusal.message);
    }
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::launch
