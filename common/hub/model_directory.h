// SPDX-License-Identifier: Apache-2.0
// Where a model that is asked for by name lies on this machine. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/status.h"

namespace anamnesis::hub {

// Whether a model that is not on this machine may be fetched from the hub (`hub: allow` of the
// coordinator, `--hub` of `run`).
struct HubAccess {
  bool allowed = false;
  // Phases "download FILE", in bytes; may be empty.
  std::function<void(const std::string& phase, uint64_t done, uint64_t total)> on_phase = {};
  std::string asked_by = "model.model_name";  // the key or flag that errors name
};

// `model_name` as an absolute directory: a directory, else a whole snapshot in the Hugging Face
// cache ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub), else, where allowed, a download
// into that cache. kInvalidArgument says where was looked and the command that fetches the model on
// a connected machine; errors of a download are those of hub::PullModel.
StatusOr<std::string> ResolveModelDirectory(const std::string& model_name,
                                            const std::string& revision,
                                            const HubAccess& access = {});

}  // namespace anamnesis::hub
