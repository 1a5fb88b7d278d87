// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/run_options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "common/base/shell_quoted.h"

namespace anamnesis::agent {
namespace {

constexpr int kUsageError = 2;

// A word as a POSIX shell takes it.
std::string Quoted(const std::string& word) {
  static constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  return ShellQuoted(word);
}

}  // namespace

std::optional<RunOptions> ParseRunOptions(int argc, char** argv, int* exit_code) {
  RunOptions options;
  options.words.assign(argv + 1, argv + argc);
  CLI::App app("Trains one gang here, in the foreground. Progress goes to stderr.", "run");
  app.footer(
      "Example:\n  anamnesis run --task pretrain_llm configs/jobs/first_light.yaml --ranks 2\n"
      "The first Ctrl-C lets the ranks finish their step and save; the second kills them.");
  std::string task;
  app.add_option("config", options.config_path, "The job's YAML")
      ->required()
      ->type_name("CONFIG.yaml");
  app.add_option("--task", task, "pretrain_llm")->required()->type_name("TASK");
  app.add_option("--set", options.overrides, "KEY=VALUE over the YAML; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  const CLI::Range positive(int64_t{1}, int64_t{4096});
  app.add_option("--ranks", options.ranks, "Ranks of the gang (default: resources.ranks, else 1)")
      ->check(positive);
  app.add_option("--threads-per-rank", options.threads_per_rank,
                 "CPU threads of a rank (default: cores / ranks)")
      ->check(positive);
  app.add_option("--slots", options.slots,
                 "Ranks that this machine takes at most (default: max(4, cores))")
      ->check(positive);
  app.add_flag("--resume", options.resume,
               "Continue the run in training.output_dir from its newest checkpoint");
  app.add_flag("--keep-plan", options.keep_plan,
               "Keep the ranks' plan files after a run that ended well");
  app.add_option("--data-dir", options.data_dir, "Cache of shards and indexes")->type_name("DIR");
  app.add_option("--stall-seconds", options.stall_seconds,
                 "A rank silent for longer (and for 20 steps) is killed")
      ->check(CLI::Range(int64_t{1}, int64_t{86400}));
  std::string hub = "allow";
  app.add_option("--hub", hub, "allow: fetch a model that is not here ($HF_ENDPOINT); deny: refuse")
      ->check(CLI::IsMember({"allow", "deny"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool help = error.get_exit_code() == 0;
    app.exit(error);
    *exit_code = help ? 0 : kUsageError;
    return std::nullopt;
  }
  const StatusOr<config::Task> known = config::TaskFromName(task);
  if (!known.ok()) {
    std::fprintf(stderr, "error: --task: %s\n", MessageOf(known.status()).c_str());
    *exit_code = kUsageError;
    return std::nullopt;
  }
  options.task = *known;
  options.allow_hub = hub == "allow";
  return options;
}

std::string ResumeCommand(const RunOptions& options) {
  std::string command = "anamnesis run";
  for (const std::string& word : options.words) command += " " + Quoted(word);
  return options.resume ? command : command + " --resume";
}

}  // namespace anamnesis::agent
