// SPDX-License-Identifier: Apache-2.0
#include "services/cli/config_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "common/config/advice.h"
#include "common/config/describe.h"
#include "common/config/job_config.h"
#include "services/cli/terminal.h"

namespace anamnesis::cli {
namespace {

constexpr char kHelpCommand[] = "anamnesis config --help";

struct Options {
  std::string key;
  std::string format = "json";
  std::string path;
  std::string task;
  std::vector<std::string> overrides;
  bool resolved = false;
};

int Explain(const Options& options) {
  const StatusOr<std::string> text = config::ExplainKey(options.key);
  if (!text.ok()) return FailWith(text.status());
  std::cout << *text;
  return 0;
}

int PrintSchema(const Options& options) {
  if (options.format == "markdown") {
    std::cout << config::SchemaMarkdown();
  } else {
    std::cout << config::JsonSchema().dump(2) << "\n";
  }
  return 0;
}

int Check(const Options& options) {
  const StatusOr<config::Task> task = config::TaskFromName(options.task);
  if (!task.ok()) return FailUsage(MessageOf(task.status()), kHelpCommand);
  const StatusOr<config::JobConfig> job =
      config::LoadJobConfig(options.path, *task, options.overrides);
  if (!job.ok()) return FailWith(job.status());
  for (const std::string& note : job->notes) PrintNote(note);
  for (const config::Advice& advice : config::Advise(*job, {})) {
    PrintRemark(config::LineOf(advice));
  }
  if (options.resolved) {
    std::cout << job->resolved.dump(2) << "\n";
  } else {
    std::cout << options.path << ": correct for " << options.task << "\n";
  }
  return 0;
}

}  // namespace

int RunConfigCommand(const std::vector<std::string>& arguments) {
  Options options;
  CLI::App app(
      "Explain, export and check configuration keys.\n\nExample: anamnesis config explain "
      "training.lanes",
      "anamnesis config");
  app.require_subcommand(1);
  CLI::App* explain = app.add_subcommand("explain", "Tell what a key or a section means");
  explain->add_option("key", options.key, "Dotted key, training.epochs, or section")->required();
  CLI::App* schema = app.add_subcommand("schema", "Print all keys");
  schema->add_option("--format", options.format, "json (JSON Schema) or markdown")
      ->check(CLI::IsMember({"json", "markdown"}));
  CLI::App* check = app.add_subcommand("check", "Check a configuration file");
  check->add_option("config", options.path, "YAML file")->required();
  check->add_option("--task", options.task, "Task: pretrain_llm, prepare, ...")->required();
  check->add_option("--set", options.overrides, "KEY=VALUE, may be repeated")
      ->allow_extra_args(false);
  check->add_flag("--resolved", options.resolved, "Print every key with its value as JSON");
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return FailUsage(error.what(), kHelpCommand);
  }
  if (explain->parsed()) return Explain(options);
  return schema->parsed() ? PrintSchema(options) : Check(options);
}

}  // namespace anamnesis::cli
