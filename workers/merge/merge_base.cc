// SPDX-License-Identifier: Apache-2.0
#include "workers/merge/merge_base.h"

#include <algorithm>
#include <vector>

#include "common/hub/model_directory.h"
#include "common/io/file.h"
#include "workers/checkpoint/checkpoint.h"
#include "workers/model/bnb_layout.h"
#include "workers/model/config.h"
#include "workers/model/layout.h"
#include "workers/model/weight_files.h"

namespace anamnesis::merge {
namespace {

// Whether the files hold linear layers in 4 bits.
StatusOr<bool> IsStoredPacked(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ReadModelConfig(directory));
  ANAM_ASSIGN_OR_RETURN(const model::WeightFiles files, model::WeightFiles::Open(directory));
  ANAM_ASSIGN_OR_RETURN(const std::vector<model::ExpectedTensor> tensors,
                        model::WithBnbTensors(files, model::ExpectedTensors(config)));
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const model::ExpectedTensor& tensor) { return tensor.packed; });
}

// Sets plan.quantisation by the manifest.
Status CheckDigest(const std::string& adapter_directory, contract::ModelPlan* plan) {
  ANAM_ASSIGN_OR_RETURN(const checkpoint::Manifest manifest,
                        checkpoint::OpenVerified(adapter_directory));
  if (manifest.base_model_sha256 == plan->sha256) return absl::OkStatus();
  if (manifest.base_model_sha256 == model::PackedDigest(plan->sha256)) {
    plan->quantisation = "nf4";
    return absl::OkStatus();
  }
  return InvalidArgument(adapter_directory,
                         ": trained on another base: ", checkpoint::kManifestName, " says digest ",
                         manifest.base_model_sha256.substr(0, 16), "…, ", plan->directory, " has ",
                         plan->sha256.substr(0, 16),
                         "…; give the folder of the base that it was trained on with --base");
}

}  // namespace

StatusOr<contract::ModelPlan> FindBase(const std::string& adapter_directory,
                                       const adapter::AdapterConfig& config,
                                       const std::string& base) {
  contract::ModelPlan plan;
  plan.name = base.empty() ? config.base_model_name : base;
  hub::HubAccess access;
  access.asked_by =
      base.empty() ? adapter_directory + "/adapter_config.json: base_model_name_or_path" : "--base";
  if (plan.name.empty()) {
    return InvalidArgument(access.asked_by, " is missing: give the base's folder with --base");
  }
  ANAM_ASSIGN_OR_RETURN(plan.directory, hub::ResolveModelDirectory(plan.name, "", access));
  ANAM_ASSIGN_OR_RETURN(plan.sha256, model::ModelDigest(plan.directory));
  if (PathExists(adapter_directory + "/" + checkpoint::kManifestName)) {
    ANAM_RETURN_IF_ERROR(CheckDigest(adapter_directory, &plan));
  }
  ANAM_ASSIGN_OR_RETURN(const bool packed, IsStoredPacked(plan.directory));
  if (packed) plan.quantisation = "nf4";
  return plan;
}

}  // namespace anamnesis::merge
