// SPDX-License-Identifier: Apache-2.0
// adapter_config.json as stock PEFT writes and reads it (peft 0.21.2; docs/formats/adapter.md).
// Torch-free.
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/io/json.h"
#include "workers/contract/plan.h"

namespace anamnesis::adapter {

// PEFT's task_type: CAUSAL_LM, SEQ_CLS.
enum class AdapterTask { kCausalLanguageModel, kSequenceClassification };

// The full field set of 0.21.2.
Json AdapterConfigJson(const contract::LoraPlan& lora, const std::string& base_model_name,
                       AdapterTask task = AdapterTask::kCausalLanguageModel);

struct AdapterConfig {
  contract::LoraPlan lora;
  std::string base_model_name;
  AdapterTask task = AdapterTask::kCausalLanguageModel;
};

// Reads adapter_config.json. kUnimplemented names a field whose value asks for something that is
// not built (use_dora, bias: all, lora_bias, layers_to_transform, loftq_config, …), an unknown
// field with a value; kInvalidArgument names a wrong type or a missing field. Nothing is
// half-taken.
StatusOr<AdapterConfig> AdapterConfigFromJson(const Json& json, const std::string& source);
StatusOr<AdapterConfig> ReadAdapterConfig(const std::string& directory);

// adapter_config.json text: keys sorted, indent 2, as json.dumps writes it (no final newline).
std::string AdapterConfigText(const Json& config);

// The model card, README.md.
std::string AdapterModelCard(const std::string& base_model_name, AdapterTask task);

// "base_model.model." + module path + suffix, the keys of adapter_model.safetensors.
std::string LoraAKey(const std::string& module);
std::string LoraBKey(const std::string& module);
std::string SavedModuleKey(const std::string& module, const std::string& part = "weight");

}  // namespace anamnesis::adapter
