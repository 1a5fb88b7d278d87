// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/submission.h"

#include <algorithm>
#include <filesystem>

#include "common/config/advice.h"
#include "common/config/job_config.h"
#include "common/io/file.h"
#include "services/coordinator/convert.h"

namespace anamnesis::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = 1u << 20;
constexpr size_t kMaxNameBytes = 200;

Status CheckText(const std::string& field, const std::string& text) {
  if (text.size() > kMaxNameBytes) {
    return InvalidArgument(field, ": ", text.size(), " bytes, expected at most ", kMaxNameBytes);
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return InvalidArgument(field, ": holds a control character");
    }
  }
  return absl::OkStatus();
}

Status CheckFields(const v1::CreateJobRequest& request) {
  const v1::JobSpec& spec = request.spec();
  if (spec.config_yaml().size() > kMaxConfigBytes) {
    return InvalidArgument("spec.config_yaml: ", spec.config_yaml().size(),
                           " bytes, expected at most ", kMaxConfigBytes);
  }
  if (!spec.working_directory().starts_with("/")) {
    return InvalidArgument("spec.working_directory: expected an absolute path");
  }
  if (spec.has_ranks() && spec.ranks() < 1) {
    return InvalidArgument("spec.ranks: ", spec.ranks(), ", expected a number from 1");
  }
  ANAM_RETURN_IF_ERROR(CheckText("spec.display_name", spec.display_name()));
  ANAM_RETURN_IF_ERROR(CheckText("spec.project", spec.project()));
  return CheckText("request_id", request.request_id());
}

// Links are followed: a link out of a root is outside.
bool LiesBeneath(const std::string& path, const std::vector<std::string>& roots) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path, error);
  if (error) return false;
  return std::any_of(roots.begin(), roots.end(), [&](const std::string& root) {
    const fs::path relative = real.lexically_relative(fs::weakly_canonical(root, error));
    return !relative.empty() && *relative.begin() != "..";
  });
}

// The hub's names are NAME or OWNER/NAME.
bool IsPath(const std::string& model_name) {
  return model_name.starts_with('/') || model_name.starts_with('.') ||
         std::count(model_name.begin(), model_name.end(), '/') > 1;
}

Status CheckRoots(const config::JobConfig& config, const std::string& working_directory,
                  const std::vector<std::string>& roots) {
  if (roots.empty()) return absl::OkStatus();
  // A folder of this name goes before a model of the cache, as in the worker. It need not be there
  // yet: an earlier job may write it. What cannot be a name of the hub is a path all the same.
  std::string model = (fs::path(working_directory) / config.model.model_name).string();
  if (!IsDirectory(model) && !IsPath(config.model.model_name)) model.clear();
  const std::pair<const char*, const std::string&> paths[] = {
      {"model.model_name", model},
      {"model.pretrained_checkpoint", config.model.pretrained_checkpoint},
      {"training.output_dir", config.training.output_dir},
      {"data.data_dir", config.data.data_dir},
      {"data.vocab_filepath", config.data.vocab_filepath},
      {"data.labels_filepath", config.data.labels_filepath},
      {"data.medical_lookup_filepath", config.data.medical_lookup_filepath},
      {"data.lab_lookup_filepath", config.data.lab_lookup_filepath},
      {"data.region_lookup_filepath", config.data.region_lookup_filepath},
      {"data.time_lookup_filepath", config.data.time_lookup_filepath}};
  for (const auto& [key, path] : paths) {
    if (!path.empty() && !LiesBeneath(path, roots)) {
      return PermissionDenied(key, ": ", path, " is outside the coordinator's --root folders");
    }
  }
  return absl::OkStatus();
}

StatusOr<std::optional<core::JobId>> AfterOf(const v1::JobSpec& spec) {
  if (spec.after().empty()) return std::optional<core::JobId>();
  const StatusOr<core::JobId> after = JobIdFromName(spec.after());
  if (!after.ok()) return AddContext(after.status(), "spec.after");
  return std::optional(*after);
}

}  // namespace

StatusOr<core::Submit> MakeSubmission(const v1::CreateJobRequest& request, const std::string& actor,
                                      const SubmissionRules& rules) {
  ANAM_RETURN_IF_ERROR(CheckFields(request));
  const v1::JobSpec& spec = request.spec();
  ANAM_ASSIGN_OR_RETURN(const config::Task task, config::TaskFromName(spec.task()));
  const std::string name = spec.config_name().empty() ? "configuration" : spec.config_name();
  const std::vector<std::string> overrides(spec.overrides().begin(), spec.overrides().end());
  ANAM_ASSIGN_OR_RETURN(
      const config::JobConfig config,
      config::ParseJobConfig(
          {.name = name, .text = spec.config_yaml(), .working_directory = spec.working_directory()},
          task, overrides));
  ANAM_RETURN_IF_ERROR(CheckRoots(config, spec.working_directory(), rules.roots));
  const int64_t ranks = spec.has_ranks() ? spec.ranks() : config.ranks.value_or(1);
  if (ranks > rules.num_slots) {
    return FailedPrecondition("the job asks for ", ranks, " ranks; this coordinator has ",
                              rules.num_slots, rules.num_slots == 1 ? " slot" : " slots",
                              " (--slots of anamnesis up)");
  }
  ANAM_ASSIGN_OR_RETURN(const std::optional<core::JobId> after, AfterOf(spec));
  core::Submit submit;
  submit.request_id = request.request_id();
  submit.actor = actor;
  submit.spec = {.task = spec.task(),
                 .config_yaml = spec.config_yaml(),
                 .overrides = overrides,
                 .working_directory = spec.working_directory(),
                 .config_name = name,
                 .display_name = spec.display_name(),
                 .project = spec.project().empty() ? "default" : spec.project(),
                 .priority = spec.priority(),
                 .after = after};
  submit.resolved = {.spec_json = config.resolved.dump(),
                     .output_dir = config.training.output_dir,
                     .ranks = ranks,
                     .notes = config.notes};
  for (const config::Advice& advice : config::Advise(config, {})) {
    submit.resolved.notes.push_back(config::LineOf(advice));
  }
  return submit;
}

}  // namespace anamnesis::coordinator
