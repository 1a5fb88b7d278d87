// SPDX-License-Identifier: Apache-2.0
// quantization_config of an HF config.json: how a checkpoint was quantised, or which modules are to
// be left alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/io/json.h"

namespace anamnesis::quant {

struct BnbConfig {
  std::vector<std::string> skip_modules;  // llm_int8_skip_modules: for 4 bits too, despite its name
};

// kUnimplemented: another method than bitsandbytes, 8 bits, fp4, a quant_storage other than uint8,
// each by name. kInvalidArgument: an ill-typed key. Keys that only steer 8 bits or a device are
// ignored, and so is the compute dtype: the run's own is used.
StatusOr<BnbConfig> ParseBnbConfig(const Json& quantization_config, const std::string& source);

// Of a model directory's config.json; nothing where the key is absent or null.
StatusOr<std::optional<BnbConfig>> ReadBnbConfig(const std::string& directory);

// Whether a skip list names the module: by its path from the start to a dot or the end, or by the
// end of its path (transformers' should_convert_module, for plain names).
bool IsInSkipList(const std::string& module, const std::vector<std::string>& skip_modules);

}  // namespace anamnesis::quant
