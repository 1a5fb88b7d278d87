// SPDX-License-Identifier: Apache-2.0
#include "workers/checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "common/io/file.h"
#include "workers/contract/fields.h"

namespace anamnesis::checkpoint {

// Outside the unnamed namespace: fields.h finds these by argument-dependent lookup.
template <typename V, contract::fields::Is<FileEntry> T>
void VisitFields(V& visit, T& file) {
  visit("name", file.name);
  visit("size_bytes", file.size_bytes);
  visit("sha256", file.sha256);
}

template <typename V, contract::fields::Is<Manifest> T>
void VisitFields(V& visit, T& manifest) {
  visit("version", manifest.version);
  visit("kind", manifest.kind);
  visit("run_id", manifest.run_id);
  visit("attempt", manifest.attempt);
  visit("task", manifest.task);
  visit("stream_digest", manifest.stream_digest);
  visit("seed", manifest.seed);
  visit("epoch", manifest.epoch);
  visit("step_in_epoch", manifest.step_in_epoch);
  visit("step", manifest.step);
  visit("total_steps", manifest.total_steps);
  visit("steps_executed", manifest.steps_executed);
  visit("tokens_trained", manifest.tokens_trained);
  visit("spec_yaml_sha256", manifest.spec_yaml_sha256);
  visit("resolved_spec", manifest.resolved_spec);
  visit("stream", manifest.stream);
  visit("cutoff_months", manifest.cutoff_months);
  visit("base_model_name", manifest.base_model_name);
  visit("base_model_sha256", manifest.base_model_sha256);
  visit("tokenizer_sha256", manifest.tokenizer_sha256);
  visit("shards_manifest_sha256", manifest.shards_manifest_sha256);
  visit("subject_hashes_sha256", manifest.subject_hashes_sha256);
  visit("splits_read", manifest.splits_read);
  visit("engine", manifest.engine);
  visit("determinism", manifest.determinism);
  visit("dtype", manifest.dtype);
  visit("lanes", manifest.lanes);
  visit("rows_per_step", manifest.rows_per_step);
  visit("num_ranks", manifest.num_ranks);
  visit("cpu_model", manifest.environment.cpu_model);
  visit("instruction_set", manifest.environment.instruction_set);
  visit("torch_version", manifest.environment.torch_version);
  visit("threads", manifest.environment.threads);
  visit("bits_not_guaranteed", manifest.bits_not_guaranteed);
  visit("files", manifest.files);
}

namespace {

constexpr int kVersion = 1;
constexpr std::string_view kPrefix = "checkpoint-";

StatusOr<Manifest> Parse(const Json& json, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const int64_t version, JsonInt(json, "version", source));
  if (version != kVersion)
    return InvalidArgument(source, ": key 'version': ", version, ", expected ", kVersion);
  Manifest manifest;
  contract::fields::Reader reader(json, source, "", /*finite=*/true);
  VisitFields(reader, manifest);
  ANAM_RETURN_IF_ERROR(reader.Finish());
  for (const FileEntry& file : manifest.files) {
    if (file.name.empty() || file.name[0] == '.' || file.name.find('/') != std::string::npos) {
      return InvalidArgument(source, ": key 'files': a name that is not a plain file name");
    }
  }
  return manifest;
}

void CollectChanges(const Json& before, const Json& after, const std::string& path,
                    std::vector<std::string>* keys) {
  if (before == after) return;
  if (!before.is_object() || !after.is_object()) {
    keys->push_back(path);
    return;
  }
  std::set<std::string> names;
  for (const auto& [name, value] : before.items()) names.insert(name);
  for (const auto& [name, value] : after.items()) names.insert(name);
  for (const std::string& name : names) {
    const auto left = before.find(name);
    const auto right = after.find(name);
    const std::string key = path.empty() ? name : Cat(path, ".", name);
    if (left == before.end() || right == after.end()) {
      keys->push_back(key);
    } else {
      CollectChanges(*left, *right, key, keys);
    }
  }
}

// The step of a folder named checkpoint-N, or -1.
int64_t StepOf(const std::string& name) {
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end ? step : -1;
}

}  // namespace

Json ToJson(const Manifest& manifest) {
  contract::fields::Writer writer;
  VisitFields(writer, manifest);
  return writer.Take();
}

StatusOr<Manifest> ManifestFromJson(const Json& json, const std::string& source) {
  StatusOr<Manifest> manifest = Parse(json, source);
  if (!manifest.ok()) return DataLoss(MessageOf(manifest.status()));
  return manifest;
}

std::string ManifestText(const Manifest& manifest) {
  return ToJson(manifest).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

StatusOr<Manifest> ReadManifest(const std::string& directory) {
  const std::string path = Cat(directory, "/", kManifestName);
  if (!PathExists(path))
    return NotFound(directory, ": no checkpoint (it has no ", kManifestName, ")");
  const StatusOr<Json> json = ReadJsonFile(path);
  if (!json.ok()) return DataLoss(MessageOf(json.status()));
  return ManifestFromJson(*json, path);
}

Status VerifyFiles(const std::string& directory, const Manifest& manifest) {
  for (const FileEntry& file : manifest.files) {
    const std::string path = Cat(directory, "/", file.name);
    if (!PathExists(path)) return DataLoss(path, ": missing, but named by the manifest");
    ANAM_ASSIGN_OR_RETURN(const uint64_t size_bytes, FileSize(path));
    if (size_bytes != file.size_bytes) {
      return DataLoss(path, ": ", size_bytes, " bytes, the manifest says ", file.size_bytes,
                      "; resume from an older checkpoint");
    }
    ANAM_ASSIGN_OR_RETURN(const std::string sha256, FileSha256(path));
    if (sha256 != file.sha256) {
      return DataLoss(path, ": SHA-256 ", sha256, ", the manifest says ", file.sha256,
                      "; resume from an older checkpoint");
    }
  }
  return absl::OkStatus();
}

FinalModel FinalModelOf(const std::string& output_directory, bool whole) {
  const std::string folder = output_directory + "/final_model";
  if (!whole) return {folder, folder};
  return {output_directory, output_directory + "/.anamnesis"};
}

StatusOr<std::vector<CheckpointPath>> ListCheckpoints(const std::string& output_directory) {
  std::vector<CheckpointPath> checkpoints;
  if (!IsDirectory(output_directory)) return checkpoints;
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(output_directory));
  for (const std::string& name : names) {
    const int64_t step = StepOf(name);
    if (step >= 0) checkpoints.push_back({.step = step, .path = Cat(output_directory, "/", name)});
  }
  std::sort(checkpoints.begin(), checkpoints.end(),
            [](const CheckpointPath& a, const CheckpointPath& b) { return a.step < b.step; });
  return checkpoints;
}

StatusOr<FoundCheckpoint> FindLatest(const std::string& output_directory) {
  ANAM_ASSIGN_OR_RETURN(std::vector<CheckpointPath> checkpoints, ListCheckpoints(output_directory));
  std::reverse(checkpoints.begin(), checkpoints.end());
  FoundCheckpoint found;
  for (const CheckpointPath& checkpoint : checkpoints) {
    StatusOr<Manifest> manifest = ReadManifest(checkpoint.path);
    Status status = manifest.status();
    if (status.ok()) status = VerifyFiles(checkpoint.path, *manifest);
    if (status.ok() && manifest->step != checkpoint.step) {
      status = DataLoss(checkpoint.path, ": its manifest is of step ", manifest->step);
    }
    if (status.ok()) {
      found.directory = checkpoint.path;
      found.manifest = *std::move(manifest);
      return found;
    }
    found.skipped.push_back(MessageOf(status));
  }
  return found;
}

Status RemoveStaging(const std::string& output_directory) {
  if (!IsDirectory(output_directory)) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(output_directory));
  for (const std::string& name : names) {
    if (!name.starts_with(kStagingPrefix)) continue;
    std::error_code error;
    std::filesystem::remove_all(Cat(output_directory, "/", name), error);
    if (error)
      return Internal(output_directory, "/", name, ": cannot be removed: ", error.message());
  }
  return absl::OkStatus();
}

std::vector<std::string> ChangedSpecKeys(const Json& before, const Json& after) {
  std::vector<std::string> keys;
  CollectChanges(before, after, "", &keys);
  return keys;
}

}  // namespace anamnesis::checkpoint
