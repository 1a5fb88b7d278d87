// SPDX-License-Identifier: Apache-2.0
#include "workers/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "common/base/sha256.h"
#include "common/io/file.h"
#include "workers/model/safetensors.h"
#include "workers/text/tokenizer_json.h"

namespace anamnesis::checkpoint {
namespace {

// What stock tools need beside the weights to use the tokenizer.
constexpr const char* kTokenizerFiles[] = {"tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "tokenizer.model",
                                           "vocab.json",
                                           "merges.txt",
                                           "vocab.txt",
                                           "chat_template.jinja"};

Status RemoveFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return Internal(path, ": cannot be removed: ", error.message());
  return absl::OkStatus();
}

StatusOr<std::vector<FileEntry>> HashFiles(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  std::vector<FileEntry> files;
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    FileEntry file;
    file.name = name;
    ANAM_ASSIGN_OR_RETURN(file.size_bytes, FileSize(path));
    ANAM_ASSIGN_OR_RETURN(file.sha256, FileSha256(path));
    files.push_back(std::move(file));
  }
  return files;
}

Status StageFiles(const SaveOptions& options, const std::string& staging, std::string* sha256) {
  ANAM_RETURN_IF_ERROR(MakeDirectories(staging));
  ANAM_RETURN_IF_ERROR(options.write_files(staging));
  ANAM_RETURN_IF_ERROR(CopyTokenizer(options.model_directory, staging));
  Manifest manifest = options.manifest;
  ANAM_ASSIGN_OR_RETURN(manifest.files, HashFiles(staging));
  const std::string text = ManifestText(manifest);
  *sha256 = Sha256Hex(text);
  ANAM_RETURN_IF_ERROR(WriteFileDurably(staging + "/" + kManifestName, text));
  return SyncDirectory(staging);
}

Status Move(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return Internal(from, ": cannot be renamed to ", to, ": ", ErrnoText(errno));
}

// Until the manifest is there nothing says that the files belong together; a run that is cut off
// puts all of them there again.
Status PublishFiles(const Staged& staged) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(staged.staging));
  for (const std::string& name : names) {
    if (name == kManifestName) continue;
    ANAM_RETURN_IF_ERROR(Move(staged.staging + "/" + name, staged.path + "/" + name));
  }
  ANAM_RETURN_IF_ERROR(SyncDirectory(staged.path));
  ANAM_RETURN_IF_ERROR(MakeDirectories(staged.manifest_directory));
  ANAM_RETURN_IF_ERROR(Move(Cat(staged.staging, "/", kManifestName),
                            Cat(staged.manifest_directory, "/", kManifestName)));
  ANAM_RETURN_IF_ERROR(SyncDirectory(staged.manifest_directory));
  return RemoveFolder(staged.staging);
}

}  // namespace

StatusOr<Staged> Stage(const SaveOptions& options) {
  Staged staged;
  staged.path = options.output_directory + "/" + options.name;
  if (options.whole && options.name == kFinalModelName) {
    const FinalModel place = FinalModelOf(options.output_directory, true);
    staged.path = place.directory;
    staged.manifest_directory = place.manifest_directory;
  }
  staged.staging = Cat(options.output_directory, "/", kStagingPrefix, options.manifest.attempt, "-",
                       options.name);
  ANAM_RETURN_IF_ERROR(MakeDirectories(options.output_directory));
  ANAM_RETURN_IF_ERROR(RemoveFolder(staged.staging));
  const Status status = StageFiles(options, staged.staging, &staged.sha256);
  if (status.ok()) return staged;
  Discard(staged);
  return AddContext(status, Cat(staged.path, ": not saved"));
}

// One rename; an older folder of that name steps aside first and goes last.
Status Publish(const Staged& staged) {
  if (!staged.manifest_directory.empty()) return PublishFiles(staged);
  const std::string& staging = staged.staging;
  const std::string& path = staged.path;
  const std::string aside = staging + "-old";
  const bool replaces = PathExists(path);
  if (replaces) {
    ANAM_RETURN_IF_ERROR(RemoveFolder(aside));
    if (std::rename(path.c_str(), aside.c_str()) != 0) {
      return Internal(path, ": cannot be moved aside: ", ErrnoText(errno));
    }
  }
  if (std::rename(staging.c_str(), path.c_str()) != 0) {
    return Internal(staging, ": cannot be renamed to ", path, ": ", ErrnoText(errno));
  }
  ANAM_RETURN_IF_ERROR(SyncDirectory(std::filesystem::path(path).parent_path().string()));
  return replaces ? RemoveFolder(aside) : absl::OkStatus();
}

void Discard(const Staged& staged) {
  // Why it is discarded counts more than a failed cleanup; the next start removes what is left.
  std::error_code ignored;
  std::filesystem::remove_all(staged.staging, ignored);
}

Status CopyTokenizer(const std::string& model_directory, const std::string& to) {
  for (const char* name : kTokenizerFiles) {
    const std::string source = model_directory + "/" + name;
    if (!PathExists(source)) continue;
    ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(source));
    ANAM_RETURN_IF_ERROR(WriteFileDurably(to + "/" + name, content));
  }
  if (!text::NeedsTokenizerJson(model_directory)) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const text::TokenizerJson json, text::ReadTokenizerJson(model_directory));
  return WriteFileDurably(to + "/tokenizer.json", json.content);
}

StatusOr<Manifest> OpenVerified(const std::string& directory) {
  ANAM_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(directory));
  ANAM_RETURN_IF_ERROR(VerifyFiles(directory, manifest));
  return manifest;
}

Status WriteOptimizer(const std::string& path, int64_t step,
                      const std::vector<OptimizerTensor>& tensors) {
  std::vector<model::TensorView> views = {{"step", model::StoredType::kI64, {1}, &step}};
  for (const OptimizerTensor& tensor : tensors) {
    const auto size = static_cast<int64_t>(tensor.exp_avg.size());
    views.push_back(
        {tensor.name + ".exp_avg", model::StoredType::kF32, {size}, tensor.exp_avg.data()});
    views.push_back(
        {tensor.name + ".exp_avg_sq", model::StoredType::kF32, {size}, tensor.exp_avg_sq.data()});
  }
  return model::WriteSafetensors(path, std::move(views));
}

Status ReadOptimizer(const std::string& path, int64_t* step,
                     const std::vector<OptimizerTensor>& tensors) {
  ANAM_ASSIGN_OR_RETURN(const model::SafetensorsFile file, model::SafetensorsFile::Open(path));
  const auto read = [&](const std::string& name, model::StoredType type, void* out,
                        size_t size_bytes) -> Status {
    const model::StoredTensor* tensor = file.Find(name);
    if (tensor == nullptr) return DataLoss(path, ": tensor ", name, " is missing");
    if (tensor->type != type || tensor->size_bytes != size_bytes) {
      return DataLoss(path, ": tensor ", name, ": ", tensor->size_bytes, " bytes of ",
                      model::StoredTypeName(tensor->type), ", expected ", size_bytes, " of ",
                      model::StoredTypeName(type), "; it belongs to another adapter");
    }
    return file.Read(*tensor, out);
  };
  if (file.tensors().size() != 2 * tensors.size() + 1) {
    return DataLoss(path, ": ", file.tensors().size(), " tensors, expected ",
                    2 * tensors.size() + 1, "; it belongs to another adapter");
  }
  ANAM_RETURN_IF_ERROR(read("step", model::StoredType::kI64, step, sizeof(*step)));
  for (const OptimizerTensor& tensor : tensors) {
    ANAM_RETURN_IF_ERROR(read(tensor.name + ".exp_avg", model::StoredType::kF32,
                              tensor.exp_avg.data(), tensor.exp_avg.size_bytes()));
    ANAM_RETURN_IF_ERROR(read(tensor.name + ".exp_avg_sq", model::StoredType::kF32,
                              tensor.exp_avg_sq.data(), tensor.exp_avg_sq.size_bytes()));
  }
  return absl::OkStatus();
}

Status RemoveOldCheckpoints(const std::string& output_directory, int64_t limit,
                            const std::string& best) {
  if (limit <= 0) return absl::OkStatus();
  ANAM_ASSIGN_OR_RETURN(const std::vector<CheckpointPath> checkpoints,
                        ListCheckpoints(output_directory));
  const auto num = static_cast<int64_t>(checkpoints.size());
  for (int64_t i = 0; i < num - limit; ++i) {
    const std::string& path = checkpoints[i].path;
    if (path == best) continue;
    // Renamed first: a half-removed folder is no checkpoint.
    const std::string aside =
        Cat(output_directory, "/", kStagingPrefix, "removed-", checkpoints[i].step);
    if (std::rename(path.c_str(), aside.c_str()) != 0) {
      return Internal(path, ": cannot be removed: ", ErrnoText(errno));
    }
    ANAM_RETURN_IF_ERROR(RemoveFolder(aside));
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::checkpoint
