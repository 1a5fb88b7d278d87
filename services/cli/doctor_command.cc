// SPDX-License-Identifier: Apache-2.0
// doctor: looks over this machine, then for a coordinator.
#include <CLI/CLI.hpp>
#include <iostream>

#include "common/io/data_directory.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/doctor.h"
#include "services/cli/terminal.h"

namespace anamnesis::cli {
namespace {

// For information: a machine without a coordinator is in order.
Finding ExamineCoordinator(const CommonFlags& flags) {
  const auto client = OpenClient(flags);
  if (!client.ok()) {
    return {Level::kWarn, "coordinator", MessageOf(client.status()), "correct what it names"};
  }
  (*client)->SetDeadline(absl::Seconds(3));
  const std::string where = (*client)->connection().address.Text();
  const auto version = (*client)->ServerVersion();
  if (version.ok()) return {Level::kOk, "coordinator", Cat(*version, " answers at ", where), ""};
  return {Level::kOk, "coordinator", MessageOf(version.status()), ""};
}

}  // namespace

int RunDoctor(const Words& words) {
  CommonFlags flags;
  DoctorOptions options;
  CLI::App app(
      "Look over this machine: one finding a line (ok, warn, bad) with what to do. Exit code 1 "
      "when one is bad.\n\nExample: anamnesis doctor --output out --listen 127.0.0.1:7070",
      "anamnesis doctor");
  app.add_option("--data-dir", options.data_directory, "The coordinator's data directory");
  app.add_option("--output", options.output_directory, "A job's output folder");
  app.add_option("--listen", options.listen, "HOST:PORT that 'up' is to listen on");
  AddCoordinatorFlag(app, flags);
  app.add_option("-o", flags.output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  if (options.data_directory.empty()) {
    const auto fallback = DefaultDataDirectory();
    if (!fallback.ok()) return FailWith(fallback.status());
    options.data_directory = *fallback;
  }
  std::vector<Finding> findings = ExamineMachine(options, FromProcessEnvironment);
  findings.push_back(ExamineCoordinator(flags));
  const Form form = flags.form();
  if (form == Form::kJson || form == Form::kYaml) {
    PrintDocument(FindingsJson(findings), form);
  } else {
    std::cout << FindingsText(findings);
  }
  return HasBad(findings) ? 1 : 0;
}

}  // namespace anamnesis::cli
