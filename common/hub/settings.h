// SPDX-License-Identifier: Apache-2.0
// Where models of the Hugging Face hub come from and where they are kept, by the environment
// variables of huggingface_hub. Thread-safe.
#pragma once

#include <functional>
#include <string>

#include "common/base/status.h"

namespace anamnesis::hub {

struct HubSettings {
  std::string cache;  // $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/…
  std::string endpoint;  // $HF_ENDPOINT without a slash at the end
  std::string token;     // $HF_TOKEN, else the file $HF_TOKEN_PATH or $HF_HOME/token; "" for none
  bool offline = false;  // $HF_HUB_OFFLINE
};

// "" for a variable that is not set.
using Environment = std::function<std::string(const char* name)>;
std::string ProcessEnvironment(const char* name);

// kInvalidArgument: no home directory, an endpoint that is not http or https, a token with
// characters that no header can hold.
StatusOr<HubSettings> ReadHubSettings(const Environment& environment);

}  // namespace anamnesis::hub
