// SPDX-License-Identifier: Apache-2.0
// submit: sends a configuration, verbatim, to the coordinator.
#include <sys/random.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "anamnesis/v1/job_service.pb.h"
#include "common/base/evaluation_text.h"
#include "common/config/job_config.h"
#include "common/config/yaml_document.h"
#include "services/cli/commands.h"
#include "services/cli/follow.h"
#include "services/cli/job_view.h"
#include "services/cli/terminal.h"
#include "services/cli/text.h"

namespace anamnesis::cli {
namespace {

struct SubmitFlags {
  CommonFlags common;
  std::string task, config, name, project, request_id, after, launcher;
  Words overrides;
  std::optional<int> ranks;
  int priority = 0;
  bool dry_run = false, wait = false, follow = false;
};

std::optional<int> Parse(const Words& words, SubmitFlags& flags) {
  CLI::App app(
      "Submit a job: the file is sent as it is, relative paths start at this directory.\n\n"
      "Example: anamnesis submit --task pretrain_llm configs/jobs/first_light.yaml --ranks 2 "
      "--follow",
      "anamnesis submit");
  app.add_option("--task", flags.task, "pretrain_llm, prepare, ...")->required();
  app.add_option("config", flags.config, "YAML file, at most 1 MiB")->required();
  app.add_option("--set", flags.overrides, "KEY=VALUE, may be repeated")->allow_extra_args(false);
  app.add_option("--name", flags.name, "A name for people");
  app.add_option("--ranks", flags.ranks, "Processes that train together")
      ->check(CLI::Range(1, 65536));
  app.add_option("--project", flags.project, "Whom the job belongs to");
  app.add_option("--priority", flags.priority, "Higher goes first");
  CheckJob(app.add_option("--after", flags.after,
                          "Start when this job (jobs/17 or 17) has succeeded; be cancelled when it "
                          "ends in another way"));
  app.add_option("--request-id", flags.request_id,
                 "The same id never submits twice (default: random)");
  app.add_option("--launcher", flags.launcher,
                 "Only where the coordinator has this one (default: whichever it has)")
      ->check(CLI::IsMember({"local", "slurm", "kubernetes"}));
  CLI::Option* dry_run =
      app.add_flag("--dry-run", flags.dry_run, "Check everything, submit nothing");
  CLI::Option* wait = app.add_flag("--wait", flags.wait, "Wait for the end; exit as the job did");
  CLI::Option* follow =
      app.add_flag("--follow", flags.follow, "Like --wait, with evaluations and checkpoints");
  wait->excludes(dry_run)->excludes(follow);
  follow->excludes(dry_run);
  AddCoordinatorFlag(app, flags.common);
  AddOutputFlag(app, flags.common);
  if (const auto exit_code = ParseWords(app, words)) return exit_code;
  const auto task = config::TaskFromName(flags.task);
  if (!task.ok()) return FailUsage(MessageOf(task.status()), "anamnesis submit --help");
  return std::nullopt;
}

// 128 random bits as hex.
StatusOr<std::string> RandomRequestId() {
  unsigned char bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    return Internal("no random numbers from the system: ", ErrnoText(errno));
  }
  std::string id;
  for (const unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4U];
    id += "0123456789abcdef"[byte & 15U];
  }
  return id;
}

StatusOr<v1::CreateJobRequest> MakeRequest(const SubmitFlags& flags) {
  v1::CreateJobRequest request;
  v1::JobSpec& spec = *request.mutable_spec();
  ANAM_ASSIGN_OR_RETURN(*spec.mutable_config_yaml(), config::ReadYamlFile(flags.config));
  std::error_code error;
  spec.set_working_directory(std::filesystem::current_path(error).string());
  if (error) return FailedPrecondition("the working directory cannot be read: ", error.message());
  spec.set_task(flags.task);
  for (const std::string& text : flags.overrides) spec.add_overrides(text);
  spec.set_config_name(flags.config);
  if (flags.ranks) spec.set_ranks(*flags.ranks);
  spec.set_display_name(flags.name);
  spec.set_project(flags.project);
  spec.set_priority(flags.priority);
  if (!flags.after.empty()) spec.set_after(*JobName(flags.after));
  request.set_validate_only(flags.dry_run);
  request.set_launcher(flags.launcher);
  request.set_request_id(flags.request_id);
  if (flags.request_id.empty()) {
    ANAM_ASSIGN_OR_RETURN(*request.mutable_request_id(), RandomRequestId());
  }
  return request;
}

bool IsDocument(Form form) { return form == Form::kJson || form == Form::kYaml; }

int PrintChecked(const SubmitFlags& flags, const v1::Job& job) {
  const Form form = flags.common.form();
  if (IsDocument(form)) {
    PrintDocument(JobJson(job, true), form);
    return 0;
  }
  std::cout << flags.config << ": correct for " << flags.task << ", " << job.ranks()
            << (job.ranks() == 1 ? " rank" : " ranks");
  if (!job.output_dir().empty()) std::cout << ", output " << Printable(job.output_dir());
  if (!job.spec().after().empty()) std::cout << ", starts after " << job.spec().after();
  std::cout << "; nothing was submitted" << std::endl;
  return 0;
}

// What a classifier reached, beside the baseline.
void PrintEvaluation(const v1::Job& job) {
  const std::map<std::string, double> evaluation(job.evaluation().begin(), job.evaluation().end());
  for (const char* split : {"tuning", "held_out"}) {
    const std::string text = EvaluationText(evaluation, split);
    if (!text.empty()) std::cerr << split << ": " << text << std::endl;
  }
}

int FollowToEnd(const SubmitFlags& flags, Client& client, const std::string& name) {
  const Form form = flags.common.form();
  FollowOptions options;
  options.names = {name};
  options.events = flags.follow;
  const Followed followed = FollowJobs(client, options, flags.common);
  if (followed.status.code() == absl::StatusCode::kAborted) {
    return SayInterrupted(options.names, flags.common, "wait");
  }
  if (!followed.status.ok()) return FailRemote(followed.status);
  const v1::Job& job = followed.jobs.at(name);
  if (IsDocument(form)) PrintDocument(JobJson(job, false), form);
  if (flags.follow) PrintEvaluation(job);
  if (flags.follow && !WandbText(job).empty()) {
    std::cerr << "W&B: " << Printable(WandbText(job)) << std::endl;
  }
  const int code = OutcomeCode(followed.jobs);
  if (code != 0) {
    std::cerr << name << " " << StateName(job.state()) << ": "
              << (job.message().empty() ? ReasonName(job.reason()) : Printable(job.message()))
              << "\nmore: '" << CommandHint(flags.common, "describe " + name) << "', '"
              << CommandHint(flags.common, "logs " + name) << "'" << std::endl;
  }
  return code;
}

}  // namespace

int RunSubmit(const Words& words) {
  SubmitFlags flags;
  if (const auto exit_code = Parse(words, flags)) return *exit_code;
  const auto request = MakeRequest(flags);
  if (!request.ok()) return FailWith(request.status());
  const auto client = OpenClient(flags.common);
  if (!client.ok()) return FailWith(client.status());
  const auto job = (*client)->CreateJob(*request);
  if (!job.ok()) return FailRemote(job.status());
  for (const std::string& note : job->notes()) PrintRemark(Printable(note));
  if (flags.dry_run) return PrintChecked(flags, *job);
  const bool stays = flags.wait || flags.follow;
  const Form form = flags.common.form();
  if (!IsDocument(form)) {
    std::cout << job->name() << std::endl;
  } else if (!stays) {
    PrintDocument(JobJson(*job, false), form);
  }
  if (stays) return FollowToEnd(flags, **client, job->name());
  std::cerr << "follow it with '" << CommandHint(flags.common, "wait " + job->name()) << "' or '"
            << CommandHint(flags.common, "metrics " + job->name() + " -f") << "'" << std::endl;
  return 0;
}

}  // namespace anamnesis::cli
