// SPDX-License-Identifier: Apache-2.0
#include "workers/checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/contract/fields.h"

namespace anamnesis::checkpoint {

// Outside the unnamed namespace: fields.h finds these by argument-dependent lookup.
template <typename T, typename U>
concept Is = std::is_same_v<std::remove_const_t<T>, U>;

template <typename V, Is<ManifestFile> T>
void VisitFields(V& visit, T& file) {
  visit("name", file.name);
  visit("size_bytes", file.size_bytes);
  visit("sha256", file.sha256);
}

template <typename V, Is<Cursor> T>
void VisitFields(V& visit, T& cursor) {
  visit("seed", cursor.seed);
  visit("epoch", cursor.epoch);
  visit("step", cursor.step);
  visit("step_in_epoch", cursor.step_in_epoch);
}

template <typename V, Is<Platform> T>
void VisitFields(V& visit, T& platform) {
  visit("cpu", platform.cpu);
  visit("isa", platform.isa);
  visit("libtorch", platform.libtorch);
  visit("threads", platform.threads);
  visit("num_ranks", platform.num_ranks);
}

template <typename V, Is<Manifest> T>
void VisitFields(V& visit, T& manifest) {
  visit("version", manifest.version);
  visit("kind", manifest.kind);
  visit("task", manifest.task);
  visit("run_id", manifest.run_id);
  visit("attempt", manifest.attempt);
  visit("spec", manifest.spec);
  visit("spec_sha256", manifest.spec_sha256);
  visit("spec_yaml_sha256", manifest.spec_yaml_sha256);
  visit("model_name", manifest.model_name);
  visit("model_sha256", manifest.model_sha256);
  visit("tokenizer_sha256", manifest.tokenizer_sha256);
  visit("shards_manifest_sha256", manifest.shards_manifest_sha256);
  visit("subject_hashes_sha256", manifest.subject_hashes_sha256);
  visit("cutoff_months", manifest.cutoff_months);
  visit("splits_read", manifest.splits_read);
  visit("stream", manifest.stream);
  visit("stream_digest", manifest.stream_digest);
  visit("cursor", manifest.cursor);
  visit("lanes", manifest.lanes);
  visit("engine", manifest.engine);
  visit("determinism", manifest.determinism);
  visit("platform", manifest.platform);
  visit("bits_not_guaranteed", manifest.bits_not_guaranteed);
  visit("steps_executed", manifest.steps_executed);
  visit("tokens_trained", manifest.tokens_trained);
  visit("files", manifest.files);
}

namespace {

constexpr int64_t kVersion = 1;
constexpr std::string_view kPrefix = "checkpoint-";

StatusOr<Manifest> Parse(const Json& json, const std::string& source) {
  ANAM_ASSIGN_OR_RETURN(const int64_t version, JsonInt(json, "version", source));
  if (version != kVersion)
    return InvalidArgument(source, ": key 'version': ", version, ", expected ", kVersion);
  Manifest manifest;
  contract::fields::Reader reader(json, source, "", /*finite=*/true);
  VisitFields(reader, manifest);
  ANAM_RETURN_IF_ERROR(reader.Finish());
  for (const ManifestFile& file : manifest.files) {
    if (file.name.empty() || file.name[0] == '.' || file.name.find('/') != std::string::npos) {
      return InvalidArgument(source, ": key 'files': a name that is not a plain file name");
    }
  }
  if (manifest.spec_sha256 != SpecDigest(manifest.spec)) {
    return InvalidArgument(source, ": key 'spec_sha256' is not the digest of 'spec'");
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

std::string SpecDigest(const Json& spec) {
  return Sha256Hex(spec.dump(-1, ' ', false, Json::error_handler_t::replace));  // keys are sorted
}

std::vector<std::string> ChangedSpecKeys(const Json& before, const Json& after) {
  std::vector<std::string> keys;
  CollectChanges(before, after, "", &keys);
  return keys;
}

StatusOr<ManifestFile> DescribeFile(const std::string& directory, const std::string& name) {
  ManifestFile file{.name = name};
  const std::string path = Cat(directory, "/", name);
  ANAM_ASSIGN_OR_RETURN(file.size_bytes, FileSize(path));
  ANAM_ASSIGN_OR_RETURN(file.sha256, FileSha256(path));
  return file;
}

StatusOr<Manifest> ReadManifest(const std::string& directory) {
  const std::string path = Cat(directory, "/", kManifestName);
  const StatusOr<Json> json = ReadJsonFile(path);
  if (!json.ok()) return DataLoss(MessageOf(json.status()));
  return ManifestFromJson(*json, path);
}

Status VerifyFiles(const Manifest& manifest, const std::string& directory) {
  for (const ManifestFile& file : manifest.files) {
    const StatusOr<ManifestFile> found = DescribeFile(directory, file.name);
    const std::string path = Cat(directory, "/", file.name);
    if (!found.ok()) return DataLoss(MessageOf(found.status()));
    if (found->size_bytes != file.size_bytes) {
      return DataLoss(path, ": ", found->size_bytes, " bytes, the manifest says ", file.size_bytes);
    }
    if (found->sha256 != file.sha256) {
      return DataLoss(path, ": SHA-256 ", found->sha256, ", the manifest says ", file.sha256);
    }
  }
  return absl::OkStatus();
}

StatusOr<FoundCheckpoint> FindLatest(const std::string& output_directory) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(output_directory));
  std::vector<std::pair<int64_t, std::string>> candidates;
  for (const std::string& name : names) {
    if (StepOf(name) >= 0) candidates.emplace_back(StepOf(name), Cat(output_directory, "/", name));
  }
  std::sort(candidates.rbegin(), candidates.rend());
  FoundCheckpoint found;
  for (const auto& [step, directory] : candidates) {
    StatusOr<Manifest> manifest = ReadManifest(directory);
    Status status = manifest.status();
    if (status.ok()) status = VerifyFiles(*manifest, directory);
    if (status.ok() && manifest->cursor.step != step) {
      status = DataLoss(directory, ": its manifest is of step ", manifest->cursor.step);
    }
    if (status.ok()) {
      found.directory = directory;
      found.manifest = *std::move(manifest);
      return found;
    }
    found.skipped.push_back(MessageOf(status));
  }
  return found;
}

}  // namespace anamnesis::checkpoint
