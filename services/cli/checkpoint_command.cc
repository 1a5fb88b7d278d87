// SPDX-License-Identifier: Apache-2.0
// checkpoint list JOB | verify DIR.
#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/time/clock.h"
#include "anamnesis/v1/checkpoint_service.pb.h"
#include "services/cli/command_line.h"
#include "services/cli/commands.h"
#include "services/cli/job_view.h"
#include "services/cli/sibling.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

int List(const CommonFlags& flags, const std::string& job) {
  const auto client = OpenClient(flags);
  if (!client.ok()) return FailWith(client.status());
  const auto checkpoints = (*client)->ListCheckpoints(*JobName(job));
  if (!checkpoints.ok()) return FailRemote(checkpoints.status());
  const Form form = flags.form();
  if (form == Form::kJson || form == Form::kYaml) {
    OrderedJson list = OrderedJson::array();
    for (const v1::Checkpoint& item : *checkpoints) list.push_back(CheckpointJson(item));
    PrintDocument({{"checkpoints", std::move(list)}}, form);
  } else if (form == Form::kName) {
    for (const v1::Checkpoint& item : *checkpoints) std::cout << item.name() << "\n";
  } else if (checkpoints->empty()) {
    std::cerr << "no checkpoints" << std::endl;
  } else {
    std::cout << TableText(CheckpointRows(*checkpoints, absl::Now()));
  }
  return 0;
}

}  // namespace

int RunCheckpoint(const Words& words) {
  for (const char* planned : {"pin", "unpin", "export", "collect"}) {
    if (!words.empty() && words[0] == planned) {
      return FailWith(Unimplemented("checkpoint ", planned, ": this command is not built yet"));
    }
  }
  CommonFlags flags;
  std::string job, directory;
  CLI::App app(
      "List a job's checkpoints, or verify one on this machine.\n\n"
      "Example: anamnesis checkpoint list jobs/17\n"
      "         anamnesis checkpoint verify out/checkpoint-400",
      "anamnesis checkpoint");
  app.require_subcommand(1);
  CLI::App* list = app.add_subcommand(
      "list", "List a job's checkpoints.\n\nExample: anamnesis checkpoint list jobs/17");
  CheckJob(list->add_option("job", job, "jobs/17 or 17")->required());
  AddCoordinatorFlag(*list, flags);
  AddOutputFlag(*list, flags);
  CLI::App* verify = app.add_subcommand(
      "verify",
      "Check a checkpoint's files against its manifest, without a coordinator.\n\n"
      "Example: anamnesis checkpoint verify out/checkpoint-400");
  verify->add_option("dir", directory, "Folder of the checkpoint")->required();
  if (const auto exit_code = ParseWords(app, words)) return *exit_code;
  if (list->parsed()) return List(flags, job);
  FailWith(BecomeSibling("anamnesis-worker", {"verify-checkpoint", directory}));
  return 1;
}

}  // namespace anamnesis::cli
