// SPDX-License-Identifier: Apache-2.0
#include "workers/agent/starting_point.h"

#include <algorithm>
#include <filesystem>

#include "common/io/file.h"
#include "workers/adapter/peft_files.h"
#include "workers/checkpoint/manifest.h"

namespace anamnesis::agent {
namespace {

constexpr char kKey[] = "model.pretrained_checkpoint";

bool HasFile(const std::string& directory, const char* name) {
  std::error_code error;
  return std::filesystem::is_regular_file(directory + "/" + name, error);
}

}  // namespace

StatusOr<StartingPoint> FindStartingPoint(const std::string& path) {
  StartingPoint found;
  const std::string final_model = checkpoint::FinalModelOf(path, /*whole=*/false).directory;
  if (HasFile(path, "adapter_config.json")) {
    found.adapter = path;
  } else if (HasFile(final_model, "adapter_config.json")) {
    found.adapter = final_model;
  } else if (HasFile(path, "config.json")) {
    found.whole_model = path;
  } else if (!IsDirectory(path)) {
    return NotFound(kKey, ": ", path, " is no folder: expected an adapter's or a model's");
  } else {
    return InvalidArgument(
        kKey, ": ", path, " holds neither adapter_config.json, nor ",
        "final_model/adapter_config.json, nor config.json: expected an adapter or a model");
  }
  return found;
}

Status CheckInitialAdapter(const std::string& adapter, const std::vector<std::string>& base_digests,
                           const adapter::TargetPlan& wanted,
                           const std::vector<std::string>& linear_names,
                           const std::vector<std::string>& saveable_names) {
  const StatusOr<checkpoint::Manifest> manifest = checkpoint::ReadManifest(adapter);
  if (!manifest.ok() && !absl::IsNotFound(manifest.status())) return manifest.status();
  if (manifest.ok() && std::find(base_digests.begin(), base_digests.end(),
                                 manifest->base_model_sha256) == base_digests.end()) {
    return InvalidArgument(kKey, ": ", adapter, " is an adapter for another base, ",
                           manifest->base_model_name,
                           ": set model.model_name to that model, or name another checkpoint");
  }
  ANAM_ASSIGN_OR_RETURN(const adapter::AdapterConfig config, adapter::ReadAdapterConfig(adapter));
  adapter::FittedPlan fitted = adapter::FitPlan(config.lora, linear_names);
  if (config.task == adapter::AdapterTask::kSequenceClassification) {
    adapter::FitToClassifier(&fitted);
  }
  const auto found = adapter::PlanTargets(fitted.lora, linear_names, saveable_names);
  if (!found.ok()) return AddContext(found.status(), Cat(kKey, ": ", adapter));
  return AddContext(adapter::CheckStartsFrom(wanted, *found, adapter), kKey);
}

}  // namespace anamnesis::agent
