// SPDX-License-Identifier: Apache-2.0
#include "common/hub/cache.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "common/io/file.h"
#include "common/io/json.h"

namespace anamnesis::hub {
namespace {

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool IsPlainName(const std::string& name) {
  return !name.empty() && name[0] != '.' && std::all_of(name.begin(), name.end(), IsWordCharacter);
}

}  // namespace

bool IsModelId(const std::string& model) {
  if (model.size() > 200 || model.find("--") != std::string::npos ||
      model.find("..") != std::string::npos) {
    return false;
  }
  const size_t slash = model.find('/');
  if (slash == std::string::npos) return IsPlainName(model);
  return IsPlainName(model.substr(0, slash)) && IsPlainName(model.substr(slash + 1));
}

bool IsRevision(const std::string& revision) {
  if (revision.empty() || revision.size() > 200 || revision.front() == '/' ||
      revision.back() == '/' || revision.front() == '.') {
    return false;
  }
  if (revision.find("..") != std::string::npos || revision.find("//") != std::string::npos) {
    return false;
  }
  return std::all_of(revision.begin(), revision.end(),
                     [](char c) { return IsWordCharacter(c) || c == '/'; });
}

ModelCache::ModelCache(const std::string& cache, const std::string& model)
    : folder(cache + "/models--") {
  for (const char c : model) folder += c == '/' ? std::string("--") : std::string(1, c);
}

StatusOr<std::optional<std::string>> ModelCache::FindSnapshot(const std::string& revision) const {
  std::string commit = revision;  // a revision may be a commit
  if (const std::string reference = Cat(refs(), "/", revision); PathExists(reference)) {
    ANAM_ASSIGN_OR_RETURN(commit, ReadFile(reference));
    while (!commit.empty() && static_cast<unsigned char>(commit.back()) <= ' ') commit.pop_back();
  }
  const std::string snapshot = Cat(snapshots(), "/", commit);
  if (!IsPlainName(commit) || !IsDirectory(snapshot)) return std::nullopt;
  ANAM_ASSIGN_OR_RETURN(const bool whole, IsWholeModel(snapshot));
  if (!whole) return std::nullopt;
  return snapshot;
}

StatusOr<bool> IsWholeModel(const std::string& directory) {
  const auto has = [&](const std::string& name) { return PathExists(Cat(directory, "/", name)); };
  if (has("adapter_config.json") && (has("adapter_model.safetensors") || has("adapter_model.bin")))
    return true;
  if (!has("config.json")) return false;
  for (const std::string whole : {"model.safetensors", "pytorch_model.bin"}) {
    if (has(whole)) return true;
    const std::string index = Cat(directory, "/", whole, ".index.json");
    if (!PathExists(index)) continue;
    ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(index));
    ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> shards, ShardsOfIndex(content, index));
    if (std::all_of(shards.begin(), shards.end(), has)) return true;
  }
  return false;
}

StatusOr<std::vector<std::string>> ShardsOfIndex(const std::string& index_json,
                                                 const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const Json index, ParseJson(index_json, source));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return InvalidArgument(source, ": expected an object with the key 'weight_map'");
  }
  std::set<std::string> names;
  for (const auto& file : index["weight_map"]) {
    if (!file.is_string() || !IsPlainName(file.get<std::string>())) {
      return InvalidArgument(source, ": weight_map: expected file names in this folder");
    }
    names.insert(file.get<std::string>());
  }
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace anamnesis::hub
