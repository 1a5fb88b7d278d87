// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_output.h"

#include <charconv>
#include <optional>
#include <string_view>

namespace anamnesis::launch {
namespace {

constexpr size_t kMaxWords = 500;
constexpr size_t kMaxReason = 200;

std::optional<int64_t> JobNumber(std::string_view text) {
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

// Calls `take` for each line, without its end.
template <typename Take>
void EachLine(std::string_view text, Take take) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    take(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

// Up to `count` fields, the last with all that is left.
std::vector<std::string_view> Fields(std::string_view line, size_t count) {
  std::vector<std::string_view> fields;
  while (fields.size() + 1 < count) {
    const size_t bar = line.find('|');
    if (bar == std::string_view::npos) break;
    fields.push_back(line.substr(0, bar));
    line.remove_prefix(bar + 1);
  }
  fields.push_back(line);
  return fields;
}

std::string Printable(std::string_view text, size_t limit) {
  std::string clean;
  for (const char c : text.substr(0, limit)) clean += c >= ' ' && c <= '~' ? c : '?';
  return clean;
}

bool Contains(const std::string& text, std::initializer_list<const char*> phrases) {
  for (const char* phrase : phrases) {
    if (text.find(phrase) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

bool IsOver(SlurmState state) {
  switch (state) {
    case SlurmState::kPending:
    case SlurmState::kRunning:
    case SlurmState::kRequeued:
    case SlurmState::kUnknown:
      return false;
    default:
      return true;
  }
}

SlurmState SlurmStateFromName(const std::string& name) {
  static const auto* const states = new std::map<std::string, SlurmState>{
      {"PENDING", SlurmState::kPending},        {"RUNNING", SlurmState::kRunning},
      {"CONFIGURING", SlurmState::kPending},    {"COMPLETING", SlurmState::kRunning},
      {"STAGE_OUT", SlurmState::kRunning},      {"SIGNALING", SlurmState::kRunning},
      {"SUSPENDED", SlurmState::kRunning},      {"STOPPED", SlurmState::kRunning},
      {"RESIZING", SlurmState::kRunning},       {"REQUEUED", SlurmState::kRequeued},
      {"REQUEUE_FED", SlurmState::kRequeued},   {"REQUEUE_HOLD", SlurmState::kRequeued},
      {"RESV_DEL_HOLD", SlurmState::kPending},  {"SPECIAL_EXIT", SlurmState::kRequeued},
      {"COMPLETED", SlurmState::kCompleted},    {"FAILED", SlurmState::kFailed},
      {"LAUNCH_FAILED", SlurmState::kNodeFail}, {"RECONFIG_FAIL", SlurmState::kNodeFail},
      {"CANCELLED", SlurmState::kCancelled},    {"REVOKED", SlurmState::kCancelled},
      {"TIMEOUT", SlurmState::kTimeLimit},      {"DEADLINE", SlurmState::kTimeLimit},
      {"NODE_FAIL", SlurmState::kNodeFail},     {"BOOT_FAIL", SlurmState::kNodeFail},
      {"PREEMPTED", SlurmState::kPreempted},    {"OUT_OF_MEMORY", SlurmState::kOutOfMemory}};
  const auto found = states->find(name.substr(0, name.find(' ')));
  return found == states->end() ? SlurmState::kUnknown : found->second;
}

StatusOr<int64_t> ParseSbatch(const std::string& output) {
  std::string_view text = output;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const auto id = JobNumber(text.substr(0, text.find(';')));
  if (!id || text.find('\n') != std::string_view::npos) {
    return DataLoss("sbatch: expected a job's number, found ", Printable(text, 80));
  }
  return *id;
}

StatusOr<std::vector<SlurmJob>> ParseSqueue(const std::string& output,
                                            const std::string& identity) {
  std::vector<SlurmJob> jobs;
  Status status;
  int64_t number = 0;
  EachLine(output, [&](std::string_view line) {
    ++number;
    const std::vector<std::string_view> fields = Fields(line, 5);
    std::optional<SlurmTag> tag;
    for (size_t i = 2; i < fields.size() && i < 4 && !tag; ++i) {
      tag = ParseSlurmTag(std::string(fields[i]));
    }
    if (!tag || tag->identity != identity) return;
    const auto id = JobNumber(fields[0]);
    if (!id || fields.size() != 5) {
      status = DataLoss("squeue: line ", number, ": expected ", kSqueueFormat, ", found ",
                        Printable(line, 200));
      return;
    }
    const std::string state = Printable(fields[1], 40);
    const std::string reason = fields[4] == "None" ? "" : Printable(fields[4], kMaxReason);
    jobs.push_back({.id = *id,
                    .tag = *tag,
                    .state = SlurmStateFromName(state),
                    .state_name = state,
                    .reason = reason});
  });
  ANAM_RETURN_IF_ERROR(status);
  return jobs;
}

std::map<int64_t, SlurmAccount> ParseSacct(const std::string& output) {
  std::map<int64_t, SlurmAccount> accounts;
  EachLine(output, [&](std::string_view line) {
    const std::vector<std::string_view> fields = Fields(line, 2);
    const auto id = JobNumber(fields[0]);
    if (!id || fields.size() != 2) return;  // a step, or a word of warning
    const std::string name = Printable(fields[1], 80);
    accounts[*id] = {.state = SlurmStateFromName(name), .state_name = name};
  });
  return accounts;
}

std::string SlurmWords(const std::string& errors) {
  std::string words;
  EachLine(errors, [&](std::string_view line) {
    for (const char* start :
         {"sbatch: ", "squeue: ", "scancel: ", "sacct: ", "srun: ", "error: "}) {
      if (line.starts_with(start)) line.remove_prefix(std::string_view(start).size());
    }
    if (line.empty() || words.size() > kMaxWords) return;
    words += (words.empty() ? "" : "; ") + Printable(line, kMaxWords);
  });
  return words.substr(0, kMaxWords);
}

SlurmRefusal JudgeRefusal(const std::string& errors, int exit_code) {
  SlurmRefusal refusal{.message = SlurmWords(errors)};
  if (refusal.message.empty()) refusal.message = Cat("exit code ", exit_code, " without a word");
  const std::string& words = refusal.message;
  // Full for now: the same job is taken once others have ended.
  if (Contains(words, {"MaxSubmit", "GrpSubmit", "MaxJobCount", "temporarily unable",
                       "Resource temporarily unavailable", "(down, drained or reserved)"}) ||
      Contains(words,
               {"Unable to contact slurm controller", "Socket timed out", "Zero Bytes",
                "standby mode", "Connection refused", "Transport endpoint", "configuration source",
                "uthentication", "Communication connection failure", "Communication shutdown",
                "Message receive failure", "Message send failure"})) {
    refusal.kind = SlurmRefusal::Kind::kLater;
  } else if (Contains(words, {"nvalid", "not available", "not permitted", "permission denied",
                              "Requested", "violates", "More processors", "Node count",
                              "Unable to allocate resources", "nrecognized option"})) {
    refusal.kind = SlurmRefusal::Kind::kInvalid;
  }
  return refusal;
}

}  // namespace anamnesis::launch
