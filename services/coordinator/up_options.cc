// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/up_options.h"

#include <sched.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "common/io/data_directory.h"
#include "common/io/store_url.h"

namespace anamnesis::coordinator {
namespace {

constexpr int kUsageError = 2;
const CLI::Range kPositive(int64_t{1}, int64_t{4096});

// What --checkpoints takes; CLI11 wants the complaint, or nothing.
std::string CheckCheckpoints(const std::string& value) {
  if (value == "shared" || value == "upload") return "";
  if (!value.starts_with("s3:")) return "expected shared, upload or s3://BUCKET/PREFIX";
  return MessageOf(ParseStoreUrl(value).status());
}

std::string Absolute(const std::string& path) {
  std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  while (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  return absolute;
}

// What runs the workers, and where they are.
void AddWorkerFlags(CLI::App& app, UpOptions* options, std::string* checkpoints) {
  app.add_option("--launcher", options->launcher,
                 "What runs the workers: this machine or an engine")
      ->check(CLI::IsMember({"local", "slurm", "kubernetes"}))
      ->capture_default_str();
  app.add_option("--engine", options->engine, "Setting of the engine; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--ranks-per-node", options->ranks_per_node,
                 "A gang of more ranks has several nodes, with a worker each (default: one node)")
      ->check(kPositive);
  app.add_option("--interface", options->rank_interface,
                 "Network interface by which ranks of several nodes talk: a private one")
      ->type_name("NAME");
  app.add_option(
         "--checkpoints", *checkpoints,
         "shared: nodes see the jobs' output folders under the same paths; upload: each has "
         "its own, and what is committed is kept in the output folder on this machine; "
         "s3://BUCKET/PREFIX: the same in an object store ($AWS_ENDPOINT_URL and the other AWS "
         "variables, where the workers run)")
      ->check(CheckCheckpoints, "shared,upload,s3://BUCKET/PREFIX")
      ->capture_default_str();
  app.add_option("--worker-listen", options->worker_listen,
                 "Also listen on TCP for workers of other machines")
      ->type_name("HOST:PORT");
  app.add_option("--worker-address", options->worker_address,
                 "Where workers reach it, if not where --worker-listen says")
      ->type_name("HOST:PORT");
  app.add_option("--worker-data-dir", options->worker_data_dir,
                 "Shards and indexes, where workers of other machines do not see --data-dir: a "
                 "folder that all of them share")
      ->type_name("DIR");
}

// What one flag alone does not show. Throws as CLI11 does.
void CheckTogether(UpOptions* options) {
  if (options->data_dir.empty()) {
    const StatusOr<std::string> directory = DefaultDataDirectory();
    if (!directory.ok()) throw CLI::ValidationError("--data-dir", MessageOf(directory.status()));
    options->data_dir = *directory;
  }
  if (options->listen.empty() && (options->insecure || !options->token_file.empty())) {
    throw CLI::ValidationError("--insecure and --token-file", "need --listen");
  }
  if (options->launcher != "local" && options->worker_listen.empty()) {
    throw CLI::ValidationError("--launcher " + options->launcher,
                               "needs --worker-listen HOST:PORT, which its workers reach");
  }
  if (options->launcher != "local" && options->memory_per_slot > 0) {
    throw CLI::ValidationError("--memory-per-slot",
                               "is this machine's; give the engine --engine memory_per_rank=SIZE");
  }
  if (options->launcher == "local" && !options->engine.empty()) {
    throw CLI::ValidationError("--engine", "the launcher local has no settings");
  }
  if (options->worker_listen.empty() && !options->worker_address.empty()) {
    throw CLI::ValidationError("--worker-address", "needs --worker-listen");
  }
  if (options->ranks_per_node > 0 && options->rank_interface.empty()) {
    throw CLI::ValidationError(
        "--ranks-per-node",
        "needs --interface NAME, by which ranks of several nodes talk (lo where "
        "all nodes are this machine)");
  }
}

}  // namespace

std::optional<UpOptions> ParseUpOptions(int argc, char** argv, int* exit_code) {
  UpOptions options;
  CLI::App app(
      "Starts the coordinator of this machine: it accepts jobs, runs them here and keeps its state "
      "in the data directory.",
      "anamnesis up");
  app.footer(
      "Example:\n  anamnesis up --slots 2\n"
      "The first Ctrl-C lets running jobs save and parks them, the second kills them. Parked jobs "
      "go on with the next `anamnesis up`.");
  app.add_option("--data-dir", options.data_dir,
                 "State, shards and indexes (default: $XDG_STATE_HOME/anamnesis)")
      ->type_name("DIR");
  app.add_option("--slots", options.slots,
                 "Ranks that run here at the same time (default: one for each GPU, or for each "
                 "--threads-per-slot cores)")
      ->check(kPositive);
  app.add_option("--device", options.device,
                 "What a slot is: a GPU (cuda) or CPU threads; auto: GPUs where there are some and "
                 "this installation can use them. With an engine: what its nodes give to a rank")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--memory-per-slot", options.memory_per_slot,
                 "A job may take so much main memory for each of its ranks (16G, 500M), kept by a "
                 "control group of the kernel")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->check(CLI::PositiveNumber);
  app.add_flag("--pin-cpus", options.pin_cpus,
               "Each rank stays on CPUs of its own; for a machine that does nothing else");
  app.add_option("--threads-per-slot", options.threads_per_slot, "CPU threads of a rank")
      ->check(kPositive);
  app.add_option("--root", options.roots,
                 "Folder beneath which the paths of jobs must lie; may be repeated (default: "
                 "wherever this user may read and write)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  app.add_option("--listen", options.listen,
                 "Also listen on TCP; needs a token (on loopback one is made) or --insecure")
      ->type_name("HOST:PORT");
  app.add_flag("--insecure", options.insecure, "With --listen: no token, for anybody who connects");
  app.add_option("--token-file", options.token_file,
                 "With --listen: file of mode 0600 with the token")
      ->type_name("FILE");
  std::string checkpoints = "shared";
  AddWorkerFlags(app, &options, &checkpoints);
  app.add_option("--metrics", options.metrics, "Serve /metrics for Prometheus")
      ->type_name("HOST:PORT");
  std::string hub = "allow";
  app.add_option(
         "--hub", hub,
         "allow: jobs may fetch a model that is not here ($HF_ENDPOINT); deny: they may not")
      ->check(CLI::IsMember({"allow", "deny"}))
      ->capture_default_str();
  app.add_flag("--detach", options.detach, "Return once it serves; it survives the logout");
  try {
    app.parse(argc, argv);
    CheckTogether(&options);
  } catch (const CLI::ParseError& error) {
    const bool help = error.get_exit_code() == 0;
    app.exit(error);
    *exit_code = help ? 0 : kUsageError;
    return std::nullopt;
  }
  options.data_dir = Absolute(options.data_dir);
  options.worker_data_dir =
      options.worker_data_dir.empty() ? options.data_dir : Absolute(options.worker_data_dir);
  options.allow_hub = hub == "allow";
  options.upload_checkpoints = checkpoints == "upload";
  if (checkpoints.starts_with("s3:")) options.checkpoint_store = checkpoints;
  while (options.checkpoint_store.ends_with('/')) options.checkpoint_store.pop_back();
  for (std::string& root : options.roots) root = Absolute(root);
  return options;
}

}  // namespace anamnesis::coordinator
