// SPDX-License-Identifier: Apache-2.0
// Where the base model of a run lies.
#pragma once

#include <string>

#include "common/base/status.h"
#include "workers/agent/phase_meter.h"

namespace anamnesis::agent {

// Whether a model that is not on this machine may be fetched from the hub (`hub: allow` of the
// coordinator, `--hub` of `run`).
struct HubAccess {
  bool allowed = false;
  OnPhase on_phase = {};  // phases "download FILE", in bytes; may be empty
};

// model.model_name as an absolute directory: a directory, else a whole snapshot in the Hugging Face
// cache ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub), else, where allowed, a download
// into that cache. kInvalidArgument says where was looked and the command that fetches the model on
// a connected machine; errors of a download are those of hub::PullModel.
StatusOr<std::string> ResolveModelDirectory(const std::string& model_name,
                                            const std::string& revision,
                                            const HubAccess& access = {});

}  // namespace anamnesis::agent
