// SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/folder_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <utility>

#include "common/io/json.h"

namespace anamnesis::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr char kManifest[] = "manifest.json";
constexpr char kFinal[] = "final_model";
constexpr char kMarker[] = "/.anamnesis";
constexpr char kIncoming[] = ".upload-";
constexpr char kHead[] = ".head";  // of an incoming folder: what publishing it needs
constexpr size_t kPartBytes = 1 << 20;
constexpr size_t kMaxFiles = 10'000;

// The step of "checkpoint-STEP".
std::optional<int64_t> StepOf(const std::string& name) {
  constexpr std::string_view kPrefix = "checkpoint-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

std::string IncomingPath(const std::string& output_directory, int64_t epoch,
                         const std::string& name) {
  return Cat(output_directory, "/", kIncoming, epoch, "-", name);
}

Status RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? Internal(path, ": cannot be removed: ", error.message()) : absl::OkStatus();
}

Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return Internal(from, ": cannot be renamed to ", to, ": ", ErrnoText(errno));
}

// What earlier epochs sent and nobody committed.
Status RemoveStale(const std::string& output_directory, int64_t epoch) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(output_directory));
  for (const std::string& name : names) {
    if (!name.starts_with(kIncoming)) continue;
    int64_t of = 0;
    std::from_chars(name.data() + sizeof kIncoming - 1, name.data() + name.size(), of);
    if (of < epoch) ANAM_RETURN_IF_ERROR(RemoveAll(Cat(output_directory, "/", name)));
  }
  return absl::OkStatus();
}

// In place of what was there under that name.
Status Replace(const std::string& from, const std::string& to) {
  const std::string aside = from + "-old";
  const bool replaces = PathExists(to);
  if (replaces) {
    ANAM_RETURN_IF_ERROR(RemoveAll(aside));
    ANAM_RETURN_IF_ERROR(Rename(to, aside));
  }
  ANAM_RETURN_IF_ERROR(Rename(from, to));
  ANAM_RETURN_IF_ERROR(SyncDirectory(fs::path(to).parent_path().string()));
  return replaces ? RemoveAll(aside) : absl::OkStatus();
}

// Where the manifest of a published folder lies.
std::string ManifestPath(const std::string& output_directory, const std::string& name,
                         bool whole_model) {
  return whole_model && name == kFinal ? Cat(output_directory, kMarker, "/", kManifest)
                                       : Cat(output_directory, "/", name, "/", kManifest);
}

// A whole model's files lie in the output folder itself; the manifest goes last.
Status SpreadFiles(const std::string& folder, const std::string& output_directory) {
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(folder));
  for (const std::string& name : names) {
    if (name == kManifest || name == kHead) continue;
    ANAM_RETURN_IF_ERROR(Rename(folder + "/" + name, output_directory + "/" + name));
  }
  ANAM_RETURN_IF_ERROR(SyncDirectory(output_directory));
  ANAM_RETURN_IF_ERROR(
      Rename(folder + "/" + kManifest, ManifestPath(output_directory, kFinal, true)));
  return RemoveAll(folder);
}

std::vector<std::pair<int64_t, std::string>> CheckpointsIn(const std::string& output_directory) {
  std::vector<std::pair<int64_t, std::string>> found;
  const StatusOr<std::vector<std::string>> names = ListDirectory(output_directory);
  if (!names.ok()) return found;
  for (const std::string& name : *names) {
    const std::optional<int64_t> step = StepOf(name);
    if (step && PathExists(Cat(output_directory, "/", name, "/", kManifest)))
      found.emplace_back(*step, name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

StatusOr<IncomingFolder> IncomingFolder::Open(const std::string& output_directory, int64_t epoch,
                                              const v1::FolderHead& head) {
  if (head.name() != kFinal && !StepOf(head.name())) {
    return InvalidArgument("'", head.name(), "' is no folder of a run: checkpoint-STEP, ", kFinal);
  }
  const std::string folder = IncomingPath(output_directory, epoch, head.name());
  ANAM_RETURN_IF_ERROR(RemoveAll(folder));
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  ANAM_RETURN_IF_ERROR(RemoveStale(output_directory, epoch));
  return IncomingFolder(folder, head);
}

Status IncomingFolder::Add(const v1::FilePart& part) {
  if (!file_.valid() || part.name() != name_) {
    ANAM_RETURN_IF_ERROR(CloseFile());
    const std::string& name = part.name();
    if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos || digests_.contains(name) ||
        digests_.size() >= kMaxFiles) {
      return InvalidArgument("a file's name in ", head_.name(), " is not one of a checkpoint's");
    }
    file_ = FileDescriptor(::open((folder_ + "/" + name).c_str(),
                                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!file_.valid()) return Internal(folder_, "/", name, ": ", ErrnoText(errno));
    name_ = name;
    digest_ = std::make_unique<Sha256>();
  }
  const std::string& data = part.data();
  digest_->Update(data);
  for (size_t at = 0; at < data.size();) {
    const ssize_t written = ::write(file_.get(), data.data() + at, data.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == ENOSPC || errno == EDQUOT)) {
      return ResourceExhausted(folder_, " on the coordinator's machine: ", ErrnoText(errno));
    }
    if (written < 0) return Internal(folder_, "/", name_, ": ", ErrnoText(errno));
    at += static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

Status IncomingFolder::CloseFile() {
  if (!file_.valid()) return absl::OkStatus();
  if (::fsync(file_.get()) != 0) return Internal(folder_, "/", name_, ": ", ErrnoText(errno));
  file_.Reset();
  digests_[std::exchange(name_, "")] = digest_->HexDigest();
  return absl::OkStatus();
}

Status IncomingFolder::Finish() {
  ANAM_RETURN_IF_ERROR(CloseFile());
  const auto manifest = digests_.extract(kManifest);
  if (manifest.empty() || manifest.mapped() != head_.manifest_sha256()) {
    return DataLoss(head_.name(), ": its manifest did not come as it was sent");
  }
  ANAM_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(folder_ + "/" + kManifest));
  const auto files = json.find("files");
  if (files == json.end() || !files->is_array() || files->size() != digests_.size()) {
    return DataLoss(head_.name(), ": its manifest does not name the files that came");
  }
  for (const Json& file : *files) {
    ANAM_ASSIGN_OR_RETURN(const std::string name, JsonString(file, "name", kManifest));
    ANAM_ASSIGN_OR_RETURN(const std::string sha256, JsonString(file, "sha256", kManifest));
    const auto found = digests_.find(name);
    if (found == digests_.end() || found->second != sha256) {
      return DataLoss(head_.name(), "/", name, ": did not come as it was sent");
    }
  }
  ANAM_RETURN_IF_ERROR(WriteFileDurably(folder_ + "/" + kHead, head_.SerializeAsString()));
  return SyncDirectory(folder_);
}

Status PublishIncoming(const std::string& output_directory, int64_t epoch,
                       const std::string& name) {
  const std::string folder = IncomingPath(output_directory, epoch, name);
  if (!PathExists(folder)) {
    if (PathExists(ManifestPath(output_directory, name, false)) ||
        PathExists(ManifestPath(output_directory, name, true))) {
      return absl::OkStatus();
    }
    return FailedPrecondition(name, ": never came to the coordinator's machine");
  }
  const std::string head_path = folder + "/" + kHead;
  v1::FolderHead head;
  const StatusOr<std::string> text = ReadFile(head_path);
  if (!text.ok() || !head.ParseFromString(*text)) {
    return FailedPrecondition(name, ": did not come whole to the coordinator's machine");
  }
  ANAM_RETURN_IF_ERROR(MakeDirectories(output_directory + kMarker));
  ANAM_RETURN_IF_ERROR(
      WriteFileDurably(Cat(output_directory, kMarker, "/run.json"), head.run_record()));
  if (head.whole_model() && name == kFinal) return SpreadFiles(folder, output_directory);
  const std::string place = Cat(output_directory, "/", name);
  ANAM_RETURN_IF_ERROR(Replace(folder, place));
  ::unlink(Cat(place, "/", kHead).c_str());  // nobody reads it any more
  for (const auto& [step, checkpoint] : CheckpointsIn(output_directory)) {
    const bool keeps =
        checkpoint == name || name == kFinal ||
        std::find(head.keep().begin(), head.keep().end(), checkpoint) != head.keep().end();
    if (!keeps) ANAM_RETURN_IF_ERROR(RemoveAll(Cat(output_directory, "/", checkpoint)));
  }
  return absl::OkStatus();
}

Status SendCheckpoints(const std::string& output_directory,
                       const std::function<bool(const v1::GetCheckpointResponse&)>& send) {
  const StatusOr<std::string> record = ReadFile(Cat(output_directory, kMarker, "/run.json"));
  if (!record.ok()) return absl::OkStatus();  // nothing was ever published
  for (const auto& [step, name] : CheckpointsIn(output_directory)) {
    const std::string folder = Cat(output_directory, "/", name);
    v1::GetCheckpointResponse response;
    response.mutable_head()->set_name(name);
    response.mutable_head()->set_run_record(*record);
    ANAM_ASSIGN_OR_RETURN(*response.mutable_head()->mutable_manifest_sha256(),
                          FileSha256(folder + "/" + kManifest));
    if (!send(response)) return Unavailable("the worker is gone");
    ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListDirectory(folder));
    for (const std::string& file : files) {
      if (file == kHead) continue;
      const std::string path = folder + "/" + file;
      ANAM_ASSIGN_OR_RETURN(const FileDescriptor open, OpenForRead(path));
      ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
      uint64_t at = 0;
      do {  // an empty file has a part, too
        v1::FilePart& part = *response.mutable_part();
        part.set_name(file);
        part.mutable_data()->resize(std::min<uint64_t>(kPartBytes, size - at));
        ANAM_RETURN_IF_ERROR(
            ReadAt(open, path, at, part.mutable_data()->data(), part.data().size()));
        at += part.data().size();
        if (!send(response)) return Unavailable("the worker is gone");
      } while (at < size);
    }
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::coordinator
