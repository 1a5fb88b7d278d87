// SPDX-License-Identifier: Apache-2.0
#include "services/launch/slurm_batch.h"

#include <charconv>

namespace anamnesis::launch {
namespace {

constexpr char kTagStart[] = "anamnesis-";
constexpr size_t kIdentityDigits = 16;
constexpr size_t kMaxTagBytes = 80;

// The whole of `text` as a positive number, written as we write it.
std::optional<int64_t> PositiveNumber(std::string_view text) {
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || value < 1 || text[0] == '0') {
    return std::nullopt;
  }
  return value;
}

// Of a variable that a shell can set.
bool IsPlainName(const std::string& name) {
  return name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos;
}

// As one word of a POSIX shell.
std::string ShellWord(const std::string& text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

}  // namespace

std::string TextOf(const SlurmTag& tag) {
  return Cat(kTagStart, static_cast<int64_t>(tag.job), "-", tag.epoch, "-", tag.identity);
}

std::optional<SlurmTag> ParseSlurmTag(const std::string& text) {
  std::string_view rest = text;
  if (rest.size() > kMaxTagBytes || !rest.starts_with(kTagStart)) return std::nullopt;
  rest.remove_prefix(sizeof kTagStart - 1);
  const size_t first = rest.find('-');
  const size_t second = first == std::string_view::npos ? first : rest.find('-', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto job = PositiveNumber(rest.substr(0, first));
  const auto epoch = PositiveNumber(rest.substr(first + 1, second - first - 1));
  const std::string identity(rest.substr(second + 1));
  if (!job || !epoch || identity.size() != kIdentityDigits ||
      identity.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return std::nullopt;
  }
  return SlurmTag{.identity = identity, .job = core::JobId{*job}, .epoch = *epoch};
}

std::vector<std::pair<std::string, std::string>> WorkerEnvironment(
    const std::vector<std::string>& environment) {
  std::vector<std::pair<std::string, std::string>> kept;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    bool keep = IsPlainName(name) && (name.starts_with("NCCL_") || name.starts_with("GLOO_"));
    for (const char* passed : {"HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
                               "HF_TOKEN_PATH", "HUGGINGFACE_HUB_CACHE", "LD_LIBRARY_PATH",
                               "SSL_CERT_DIR", "SSL_CERT_FILE", "XDG_CACHE_HOME"}) {
      keep = keep || name == passed;
    }
    if (keep) kept.emplace_back(name, entry.substr(equals + 1));
  }
  return kept;
}

std::vector<std::string> SbatchArguments(const SlurmBatch& batch, const SlurmOptions& options,
                                         const SlurmSite& site) {
  const std::string tag = TextOf({site.identity, batch.job, batch.epoch});
  std::vector<std::string> words = {
      "--parsable", "--job-name=" + tag, "--comment=" + tag,
      // The coordinator starts the next attempt itself: under a new epoch, from the last commit.
      "--no-requeue",
      // Of the coordinator's environment nothing goes along: Slurm keeps it where others read it.
      "--export=NONE", Cat("--nodes=", batch.nodes), Cat("--ntasks=", batch.nodes),
      "--ntasks-per-node=1", Cat("--cpus-per-task=", batch.ranks_per_node * batch.threads_per_rank),
      "--output=" + batch.log_path, "--open-mode=append", "--chdir=" + site.data_directory};
  if (options.grace > absl::ZeroDuration()) {  // to the workers, not to the script
    words.push_back(Cat("--signal=TERM@", absl::ToInt64Seconds(options.grace)));
  }
  const std::pair<const char*, const std::string&> texts[] = {
      {"--partition=", options.partition},
      {"--account=", options.account},
      {"--qos=", options.qos},
      {"--reservation=", options.reservation},
      {"--constraint=", options.constraint},
      {"--time=", options.time_limit}};
  for (const auto& [name, value] : texts) {
    if (!value.empty()) words.push_back(name + value);
  }
  if (options.gres_per_rank.count > 0) {  // sbatch counts by node
    words.push_back(Cat("--gres=", options.gres_per_rank.name, ":",
                        options.gres_per_rank.count * batch.ranks_per_node));
  }
  if (options.memory_per_rank_mib > 0) {
    words.push_back(Cat("--mem=", options.memory_per_rank_mib * batch.ranks_per_node, "M"));
  }
  return words;
}

std::string BatchScript(const SlurmBatch& batch, const SlurmSite& site) {
  const int64_t job = static_cast<int64_t>(batch.job);
  std::string script =
      Cat("#!/bin/sh\n# Anamnesis, job ", job, ", epoch ", batch.epoch,
          ": made by the coordinator.\n"
          "if [ \"${SLURM_RESTART_COUNT:-0}\" != 0 ]; then  # somebody has requeued it\n"
          "  echo 'This attempt is over: the coordinator starts the next one as a new Slurm job.' "
          ">&2\n"
          "  exit 75\nfi\n");
  for (const auto& [name, value] : site.environment) {
    script += Cat("export ", name, "=", ShellWord(value), "\n");
  }
  script += Cat("export ANAMNESIS_WORKER_TOKEN_FILE=", ShellWord(batch.token_path), "\n");
  // One worker on each node. When one has ended, the others have a minute for their last words. The
  // number of cores is said again: srun does not take it over from sbatch since Slurm 22.05.
  script +=
      Cat("exec srun --export=ALL --kill-on-bad-exit=0 --wait=60 --nodes=", batch.nodes,
          " --ntasks=", batch.nodes,
          " --ntasks-per-node=1 --cpus-per-task=", batch.ranks_per_node * batch.threads_per_rank,
          " \\\n  sh -c 'exec \"$@\" --node \"$SLURM_PROCID\"' worker ",
          ShellWord(site.worker_program), " attempt --coordinator ",
          ShellWord(batch.worker_address), " --job ", job, " --epoch ", batch.epoch, "\n");
  return script;
}

}  // namespace anamnesis::launch
