// SPDX-License-Identifier: Apache-2.0
#include "workers/adapter/peft_files.h"

#include <cmath>
#include <set>

#include "common/io/file.h"

namespace anamnesis::adapter {
namespace {

// The fields of peft 0.21.2's LoraConfig that are not ours to set, at their defaults. A file with
// another value asks for something that is not built.
const Json& FixedFields() {
  static const Json* fields = new Json{{"alora_invocation_tokens", nullptr},
                                       {"arrow_config", nullptr},
                                       {"auto_mapping", nullptr},
                                       {"bias", "none"},
                                       {"corda_config", nullptr},
                                       {"ensure_weight_tying", false},
                                       {"eva_config", nullptr},
                                       {"fan_in_fan_out", false},
                                       {"init_lora_weights", true},
                                       {"kasa_config", nullptr},
                                       {"layer_replication", nullptr},
                                       {"layers_pattern", nullptr},
                                       {"layers_to_transform", nullptr},
                                       {"loftq_config", Json::object()},
                                       {"lora_bias", false},
                                       {"lora_ga_config", nullptr},
                                       {"megatron_config", nullptr},
                                       {"monteclora_config", nullptr},
                                       {"peft_type", "LORA"},
                                       {"target_parameters", nullptr},
                                       {"trainable_token_indices", nullptr},
                                       {"use_bdlora", nullptr},
                                       {"use_dora", false},
                                       {"use_qalora", false},
                                       {"velora_config", nullptr}};
  return *fields;
}

// Fields whose value changes nothing here.
const Json& FreeFields() {
  static const Json* fields = new Json{{"inference_mode", true},
                                       {"megatron_core", "megatron.core"},
                                       {"peft_version", "0.21.2"},
                                       {"qalora_group_size", 16},
                                       {"revision", nullptr}};
  return *fields;
}

constexpr char kCausalLm[] = "CAUSAL_LM";
constexpr char kSeqCls[] = "SEQ_CLS";

// Absent or null: PEFT takes such an adapter as one of any model; here it is a language model's.
StatusOr<AdapterTask> ReadTask(const Json& json, const std::string& source) {
  if (!json.contains("task_type") || json["task_type"].is_null()) {
    return AdapterTask::kCausalLanguageModel;
  }
  ANAM_ASSIGN_OR_RETURN(const std::string task, JsonString(json, "task_type", source));
  if (task == kCausalLm) return AdapterTask::kCausalLanguageModel;
  if (task == kSeqCls) return AdapterTask::kSequenceClassification;
  return Unimplemented(source, ": task_type: \"", task,
                       "\" is not built yet; supported: ", kCausalLm, ", ", kSeqCls);
}

bool IsOff(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_structured() && value.empty());
}

Json NumberJson(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? Json(static_cast<int64_t>(value))
                                                              : Json(value);
}

Json ListOrNull(const std::vector<std::string>& names) {
  return names.empty() ? Json(nullptr) : Json(names);
}

// A list of strings, or null.
Status ReadNames(const Json& json, const std::string& key, const std::string& source,
                 std::vector<std::string>* out) {
  if (!json.contains(key) || json[key].is_null()) return absl::OkStatus();
  const Json& value = json[key];
  if (key == "exclude_modules" && value.is_string()) {
    return Unimplemented(source, ": exclude_modules as a regular expression is not built yet");
  }
  if (!value.is_array()) {
    return InvalidArgument(source, ": key '", key, "': expected a list of names, found ",
                           value.type_name());
  }
  for (const Json& name : value) {
    if (!name.is_string()) {
      return InvalidArgument(source, ": key '", key, "': expected a list of names");
    }
    out->push_back(name.get<std::string>());
  }
  return absl::OkStatus();
}

Status ReadTargets(const Json& json, const std::string& source, contract::LoraPlan* lora) {
  const auto it = json.find("target_modules");
  if (it != json.end() && it->is_string()) {
    const std::string text = it->get<std::string>();
    std::string lower = text;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    lora->all_linear = lower == "all-linear";
    if (!lora->all_linear) lora->target_regex = text;
    return absl::OkStatus();
  }
  ANAM_RETURN_IF_ERROR(ReadNames(json, "target_modules", source, &lora->target_modules));
  if (!lora->target_modules.empty()) return absl::OkStatus();
  return InvalidArgument(source, ": key 'target_modules': expected a list of names or a string");
}

// An object of numbers, or null; `store` takes one entry.
template <typename Store>
Status ReadPattern(const Json& json, const std::string& key, const std::string& source,
                   bool integers, Store store) {
  if (!json.contains(key) || json[key].is_null()) return absl::OkStatus();
  if (!json[key].is_object()) {
    return InvalidArgument(source, ": key '", key, "': expected an object");
  }
  for (const auto& [name, value] : json[key].items()) {
    if (!value.is_number() || (integers && !value.is_number_integer()) ||
        std::abs(value.template get<double>()) > 1e6) {
      return InvalidArgument(source, ": key '", key, "': '", name, "': expected a number");
    }
    store(name, value.template get<double>());
  }
  return absl::OkStatus();
}

// Refuses every field that asks for what is not built.
Status CheckFields(const Json& json, const std::string& source) {
  static const std::set<std::string> kRead = {"alpha_pattern",
                                              "base_model_name_or_path",
                                              "bias",
                                              "exclude_modules",
                                              "lora_alpha",
                                              "lora_dropout",
                                              "modules_to_save",
                                              "r",
                                              "rank_pattern",
                                              "target_modules",
                                              "task_type",
                                              "use_rslora"};
  for (const auto& [key, value] : json.items()) {
    if (kRead.contains(key) || FreeFields().contains(key)) continue;
    const auto fixed = FixedFields().find(key);
    if (fixed != FixedFields().end() && (value == *fixed || (IsOff(value) && IsOff(*fixed)))) {
      continue;
    }
    // How an adapter was first filled does not matter once its tensors are stored, unless the
    // base's weights were changed with it (pissa, olora, loftq, …).
    if (key == "init_lora_weights" && (value == false || value == "gaussian")) continue;
    // The class that was adapted, where PEFT was told no task, and Unsloth's mark.
    if (key == "auto_mapping" && value.is_object()) continue;
    if (fixed == FixedFields().end() && IsOff(value)) continue;
    const std::string text = value.is_structured() ? std::string(value.type_name()) : value.dump();
    return Unimplemented(source, ": ", key, ": ", text, " is not built yet");
  }
  return absl::OkStatus();
}

}  // namespace

Json AdapterConfigJson(const contract::LoraPlan& lora, const std::string& base_model_name,
                       AdapterTask task) {
  Json json = FixedFields();
  json["task_type"] = task == AdapterTask::kSequenceClassification ? kSeqCls : kCausalLm;
  json.update(FreeFields());
  json["base_model_name_or_path"] = base_model_name;
  json["r"] = lora.r;
  json["lora_alpha"] = NumberJson(lora.alpha);
  json["lora_dropout"] = lora.dropout;
  json["use_rslora"] = lora.use_rslora;
  json["bias"] = lora.bias;
  json["target_modules"] = lora.target_modules;
  if (!lora.target_regex.empty()) json["target_modules"] = lora.target_regex;
  if (lora.all_linear) json["target_modules"] = "all-linear";
  json["exclude_modules"] = ListOrNull(lora.exclude_modules);
  json["modules_to_save"] = ListOrNull(lora.modules_to_save);
  json["rank_pattern"] = Json::object();
  for (const auto& [name, rank] : lora.rank_pattern) json["rank_pattern"][name] = rank;
  json["alpha_pattern"] = Json::object();
  for (const auto& [name, alpha] : lora.alpha_pattern) {
    json["alpha_pattern"][name] = NumberJson(alpha);
  }
  return json;
}

StatusOr<AdapterConfig> AdapterConfigFromJson(const Json& json, const std::string& source) {
  if (!json.is_object()) return InvalidArgument(source, ": expected a JSON object");
  ANAM_ASSIGN_OR_RETURN(const std::string type, JsonString(json, "peft_type", source));
  if (type != "LORA") {
    return Unimplemented(source, ": peft_type: ", type, " is not built yet; supported: LORA");
  }
  ANAM_RETURN_IF_ERROR(CheckFields(json, source));
  AdapterConfig config;
  ANAM_ASSIGN_OR_RETURN(config.task, ReadTask(json, source));
  contract::LoraPlan& lora = config.lora;
  ANAM_ASSIGN_OR_RETURN(const int64_t rank, JsonInt(json, "r", source));
  if (rank < 1 || rank > 1'000'000) {
    return InvalidArgument(source, ": key 'r': ", rank, ": expected 1 to 1000000");
  }
  lora.r = static_cast<int>(rank);
  ANAM_ASSIGN_OR_RETURN(lora.alpha, JsonNumber(json, "lora_alpha", source));
  if (json.contains("lora_dropout")) {
    ANAM_ASSIGN_OR_RETURN(lora.dropout, JsonNumber(json, "lora_dropout", source));
  }
  if (json.contains("bias")) {
    ANAM_ASSIGN_OR_RETURN(lora.bias, JsonString(json, "bias", source));
    if (lora.bias != "none" && lora.bias != "lora_only") {
      return Unimplemented(source, ": bias: \"", lora.bias, "\" is not built yet");
    }
  }
  if (json.contains("use_rslora")) {
    ANAM_ASSIGN_OR_RETURN(lora.use_rslora, JsonBool(json, "use_rslora", source));
  }
  if (json.contains("base_model_name_or_path") && !json["base_model_name_or_path"].is_null()) {
    ANAM_ASSIGN_OR_RETURN(config.base_model_name,
                          JsonString(json, "base_model_name_or_path", source));
  }
  ANAM_RETURN_IF_ERROR(ReadTargets(json, source, &lora));
  ANAM_RETURN_IF_ERROR(ReadNames(json, "exclude_modules", source, &lora.exclude_modules));
  ANAM_RETURN_IF_ERROR(ReadNames(json, "modules_to_save", source, &lora.modules_to_save));
  ANAM_RETURN_IF_ERROR(
      ReadPattern(json, "rank_pattern", source, true, [&](const std::string& name, double value) {
        lora.rank_pattern[name] = static_cast<int>(value);
      }));
  ANAM_RETURN_IF_ERROR(ReadPattern(
      json, "alpha_pattern", source, false,
      [&](const std::string& name, double value) { lora.alpha_pattern[name] = value; }));
  return config;
}

StatusOr<AdapterConfig> ReadAdapterConfig(const std::string& directory) {
  const std::string path = directory + "/adapter_config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  return AdapterConfigFromJson(json, path);
}

std::string AdapterConfigText(const Json& config) { return config.dump(2, ' ', true); }

std::string AdapterModelCard(const std::string& base_model_name, AdapterTask task) {
  const bool classifies = task == AdapterTask::kSequenceClassification;
  const std::string opener =
      classifies ? "AutoPeftModelForSequenceClassification" : "AutoPeftModelForCausalLM";
  const std::string base =
      Json(base_model_name).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Cat("---\nbase_model: ", base, "\nlibrary_name: peft\npipeline_tag: ",
             classifies ? "text-classification" : "text-generation",
             "\ntags:\n- lora\n- transformers\n",
             "---\n\n# LoRA adapter\n\nA low-rank adapter trained by Anamnesis on narratives made ",
             "from patient histories.\nIt may have memorised parts of them: share it as you would ",
             "share the data.\n\n```python\nfrom peft import ", opener, "\n\nmodel = ", opener,
             ".from_pretrained(\"path/of/this/folder\")\n```\n\n",
             "### Framework versions\n\n- PEFT format 0.21.2\n");
}

std::string LoraAKey(const std::string& module) {
  return "base_model.model." + module + ".lora_A.weight";
}
std::string LoraBKey(const std::string& module) {
  return "base_model.model." + module + ".lora_B.weight";
}
std::string SavedModuleKey(const std::string& module, const std::string& part) {
  return "base_model.model." + module + "." + part;
}

}  // namespace anamnesis::adapter
