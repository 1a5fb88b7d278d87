// SPDX-License-Identifier: Apache-2.0
#include "workers/prep/identity.h"

#include <filesystem>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "common/io/json.h"
#include "workers/prep/cohort.h"
#include "workers/prep/prepare.h"
#include "workers/prep/rules.h"

namespace anamnesis::prep {

std::string CodeVersion() { return ANAMNESIS_VERSION; }

std::string RulesSha256(const config::DataSection& data, bool unlabelled) {
  Json json = {{"profile", data.profile},
               {"unknown_tokens", data.unknown_tokens},
               {"table_sha256", RuleTableSha256()}};
  if (unlabelled) json["unlabelled"] = true;
  return Sha256Hex(json.dump());
}

std::string DigestOf(const std::vector<shard::InputRecord>& inputs,
                     const std::string& rules_sha256) {
  Json list = Json::array();
  for (const shard::InputRecord& input : inputs) {
    list.push_back({input.role, input.name, input.bytes, input.sha256});
  }
  const Json json = {{"format_version", shard::kFormatVersion},
                     {"code_version", CodeVersion()},
                     {"rules", rules_sha256},
                     {"inputs", list}};
  return Sha256Hex(json.dump());
}

StatusOr<bool> IsIntactSet(const std::string& directory, const std::string& digest,
                           shard::Manifest* manifest) {
  ANAM_ASSIGN_OR_RETURN(const std::unique_ptr<shard::ShardSet> set,
                        shard::ShardSet::Open(directory));
  ANAM_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(Cat(directory, "/", shard::kManifestFile)));
  ANAM_ASSIGN_OR_RETURN(*manifest, shard::ParseManifest(text));
  if (manifest->digest != digest) return false;
  std::vector<std::string> splits;
  for (const shard::SplitSummary& split : set->splits()) splits.push_back(split.name);
  ANAM_RETURN_IF_ERROR(set->Verify(splits));
  return true;
}

StatusOr<std::string> InputDigest(const config::DataSection& data,
                                  const std::vector<std::string>& splits,
                                  const WorkProgress& progress, bool unlabelled) {
  std::vector<shard::InputRecord> inputs;
  std::vector<std::string> paths;
  uint64_t total = 0, done = 0;
  const auto add = [&](const std::string& role, const std::string& name,
                       const std::string& path) -> Status {
    shard::InputRecord& record = inputs.emplace_back();
    record.role = role;
    record.name = name;
    ANAM_ASSIGN_OR_RETURN(record.bytes, FileSize(path));
    total += record.bytes;
    paths.push_back(path);
    return absl::OkStatus();
  };
  // The order of Cohort::Load.
  const std::pair<const char*, const std::string*> tables[] = {
      {"vocab", &data.vocab_filepath},
      {"labels", &data.labels_filepath},
      {"medical_lookup", &data.medical_lookup_filepath},
      {"lab_lookup", &data.lab_lookup_filepath},
      {"region_lookup", &data.region_lookup_filepath},
      {"time_lookup", &data.time_lookup_filepath}};
  for (const auto& [role, path] : tables) {
    if (path->empty()) continue;
    const Status status = add(role, std::filesystem::path(*path).filename().string(), *path);
    ANAM_RETURN_IF_ERROR(AddContext(status, Cat("data.", role, "_filepath")));
  }
  for (const std::string& split : splits) {
    ANAM_ASSIGN_OR_RETURN(const std::vector<InputFile> files, ListSplit(data.data_dir, split));
    for (const InputFile& file : files) ANAM_RETURN_IF_ERROR(add(split, file.name, file.path));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    ANAM_ASSIGN_OR_RETURN(inputs[i].sha256, FileSha256(paths[i]));
    done += inputs[i].bytes;
    if (progress) progress(done, total);
  }
  return DigestOf(inputs, RulesSha256(data, unlabelled));
}

}  // namespace anamnesis::prep
