// SPDX-License-Identifier: Apache-2.0
#include "workers/quant/bnb_config.h"

#include <algorithm>
#include <utility>

namespace anamnesis::quant {
namespace {

// A string, or `absent` where the key is absent or null.
StatusOr<std::string> StringOr(const Json& json, const std::string& key, const std::string& absent,
                               const std::string& source) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return absent;
  return JsonString(json, key, source);
}

StatusOr<bool> BoolOrFalse(const Json& json, const std::string& key, const std::string& source) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return false;
  return JsonBool(json, key, source);
}

Status NotBuilt(const std::string& source, const std::string& key, const std::string& value,
                const char* supported) {
  return Unimplemented(source, ": quantization_config.", key, ": ", value,
                       " is not built yet; supported: ", supported);
}

}  // namespace

StatusOr<BnbConfig> ParseBnbConfig(const Json& json, const std::string& source) {
  if (!json.is_object()) {
    return InvalidArgument(source, ": key 'quantization_config': expected an object");
  }
  const std::string where = source + ": quantization_config";
  ANAM_ASSIGN_OR_RETURN(const bool eight, BoolOrFalse(json, "load_in_8bit", where));
  ANAM_ASSIGN_OR_RETURN(const bool four, BoolOrFalse(json, "load_in_4bit", where));
  // Files written before 2023-08 have no quant_method.
  ANAM_ASSIGN_OR_RETURN(
      const std::string method,
      StringOr(json, "quant_method", eight || four ? "bitsandbytes" : "none", where));
  if (method != "bitsandbytes" && method != "bitsandbytes_4bit") {
    return NotBuilt(source, "quant_method", method, "bitsandbytes (4 bits, nf4)");
  }
  if (eight || !four) return NotBuilt(source, "load_in_4bit", "false", "true");
  ANAM_ASSIGN_OR_RETURN(const std::string type,
                        StringOr(json, "bnb_4bit_quant_type", "fp4", where));
  if (type != "nf4") return NotBuilt(source, "bnb_4bit_quant_type", type, "nf4");
  ANAM_ASSIGN_OR_RETURN(const std::string storage,
                        StringOr(json, "bnb_4bit_quant_storage", "uint8", where));
  if (storage != "uint8") return NotBuilt(source, "bnb_4bit_quant_storage", storage, "uint8");
  BnbConfig config;
  const auto skip = json.find("llm_int8_skip_modules");
  if (skip == json.end() || skip->is_null()) return config;
  const bool names =
      skip->is_array() && std::all_of(skip->begin(), skip->end(), [](const Json& name) {
        return name.is_string() && !name.get_ref<const std::string&>().empty();
      });
  if (!names) {
    return InvalidArgument(where, ": key 'llm_int8_skip_modules': expected a list of names");
  }
  config.skip_modules = skip->get<std::vector<std::string>>();
  return config;
}

StatusOr<std::optional<BnbConfig>> ReadBnbConfig(const std::string& directory) {
  const std::string path = directory + "/config.json";
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path));
  const auto it = json.find("quantization_config");
  if (it == json.end() || it->is_null()) return std::optional<BnbConfig>();
  ANAM_ASSIGN_OR_RETURN(BnbConfig config, ParseBnbConfig(*it, path));
  return std::optional<BnbConfig>(std::move(config));
}

bool IsInSkipList(const std::string& module, const std::vector<std::string>& skip_modules) {
  return std::any_of(skip_modules.begin(), skip_modules.end(), [&](const std::string& name) {
    const bool at_start =
        module.starts_with(name) &&
        (module.size() == name.size() || module[name.size()] == '.' || name.back() == '.');
    return at_start || module.ends_with(name);
  });
}

}  // namespace anamnesis::quant
