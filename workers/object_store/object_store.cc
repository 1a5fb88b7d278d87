// SPDX-License-Identifier: Apache-2.0
#include "workers/object_store/object_store.h"

#include <arrow/buffer.h>
#include <arrow/filesystem/s3fs.h>
#include <arrow/io/interfaces.h>
#include <arrow/result.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "common/io/file.h"
#include "common/io/store_url.h"
#include "workers/object_store/store_errors.h"

namespace anamnesis::object_store {
namespace {

constexpr char kManifest[] = "manifest.json";
constexpr char kRecord[] = ".run.json";
constexpr int64_t kBlockBytes = 8 << 20;
constexpr double kConnectSeconds = 10;
// Where the wheel's own TLS library does not look.
constexpr char kDebianBundle[] = "/etc/ssl/certs/ca-certificates.crt";

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

StatusOr<arrow::fs::S3Options> OptionsFromEnvironment() {
  arrow::fs::S3Options options = arrow::fs::S3Options::Defaults();
  std::string endpoint = Variable("AWS_ENDPOINT_URL_S3");
  if (endpoint.empty()) endpoint = Variable("AWS_ENDPOINT_URL");
  if (!endpoint.empty()) {
    const size_t colon = endpoint.find("://");
    options.scheme = colon == std::string::npos ? "" : endpoint.substr(0, colon);
    if (options.scheme != "http" && options.scheme != "https") {
      return InvalidArgument("AWS_ENDPOINT_URL: expected http://HOST:PORT or https://HOST:PORT");
    }
    options.endpoint_override = endpoint.substr(colon + 3);
    while (options.endpoint_override.ends_with('/')) options.endpoint_override.pop_back();
  }
  options.region = Variable("AWS_REGION");
  if (options.region.empty()) options.region = Variable("AWS_DEFAULT_REGION");
  if (options.region.empty() && !endpoint.empty()) options.region = "us-east-1";
  options.connect_timeout = kConnectSeconds;
  options.background_writes = false;  // each write is one answer
  options.allow_delayed_open = true;  // a small file is one request
  options.retry_strategy = arrow::fs::S3RetryStrategy::GetAwsStandardRetryStrategy(2);
  options.tls_ca_file_path = Variable("AWS_CA_BUNDLE");
  if (options.tls_ca_file_path.empty() && PathExists(kDebianBundle)) {
    options.tls_ca_file_path = kDebianBundle;
  }
  return options;
}

Status FromArrow(const arrow::Status& status, const std::string& url) {
  return status.ok() ? absl::OkStatus() : StatusOfStoreError(url, status.message());
}

Status WriteAll(int file, const std::string& path, const arrow::Buffer& data) {
  for (int64_t at = 0; at < data.size();) {
    const ssize_t written = ::write(file, data.data() + at, static_cast<size_t>(data.size() - at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == ENOSPC || errno == EDQUOT)) {
      return ResourceExhausted(path, ": ", ErrnoText(errno));
    }
    if (written < 0) return Internal(path, ": ", ErrnoText(errno));
    at += written;
  }
  return absl::OkStatus();
}

}  // namespace

struct ObjectStore::Parts {
  std::shared_ptr<arrow::fs::S3FileSystem> files;
  std::function<void()> on_progress;

  Status PutFile(const std::string& path, const std::string& key, const std::string& url) {
    ANAM_ASSIGN_OR_RETURN(const FileDescriptor file, OpenForRead(path));
    ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
    auto opened = files->OpenOutputStream(key);
    if (!opened.ok()) return FromArrow(opened.status(), url);
    const std::shared_ptr<arrow::io::OutputStream> out = *std::move(opened);
    std::string block;
    Status status;
    for (uint64_t at = 0; at < size && status.ok(); at += block.size()) {
      block.resize(std::min<uint64_t>(kBlockBytes, size - at));
      status = ReadAt(file, path, at, block.data(), block.size());
      if (status.ok()) {
        status = FromArrow(out->Write(block.data(), static_cast<int64_t>(block.size())), url);
      }
      on_progress();
    }
    if (status.ok()) status = FromArrow(out->Close(), url);
    if (!status.ok()) (void)out->Abort();
    on_progress();
    return status;
  }

  Status GetFile(const arrow::fs::FileInfo& info, const std::string& path, const std::string& url) {
    auto opened = files->OpenInputStream(info);
    if (!opened.ok()) return FromArrow(opened.status(), url);
    const FileDescriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!file.valid()) return Internal(path, ": ", ErrnoText(errno));
    for (;;) {
      auto block = (*opened)->Read(kBlockBytes);
      if (!block.ok()) return FromArrow(block.status(), url);
      on_progress();
      if ((*block)->size() == 0) break;
      ANAM_RETURN_IF_ERROR(WriteAll(file.get(), path, **block));
    }
    if (::fsync(file.get()) != 0) return Internal(path, ": ", ErrnoText(errno));
    return absl::OkStatus();
  }

  StatusOr<std::vector<arrow::fs::FileInfo>> Entries(const StoreUrl& at, const std::string& url) {
    arrow::fs::FileSelector selector;
    selector.base_dir = at.key_path();
    selector.allow_not_found = true;
    auto found = files->GetFileInfo(selector);
    if (!found.ok()) return FromArrow(found.status(), url);
    on_progress();
    return *std::move(found);
  }
};

StatusOr<std::unique_ptr<ObjectStore>> ObjectStore::Open(std::function<void()> on_progress) {
  ANAM_RETURN_IF_ERROR(FromArrow(arrow::fs::InitializeS3({.log_level = arrow::fs::S3LogLevel::Off}),
                                 "the S3 library"));
  const auto make = [&]() -> StatusOr<std::unique_ptr<ObjectStore>> {
    ANAM_ASSIGN_OR_RETURN(const arrow::fs::S3Options options, OptionsFromEnvironment());
    auto made = arrow::fs::S3FileSystem::Make(options);
    if (!made.ok()) return FromArrow(made.status(), "the S3 library");
    auto parts = std::make_unique<Parts>();
    parts->files = *std::move(made);
    parts->on_progress = std::move(on_progress);
    return std::unique_ptr<ObjectStore>(new ObjectStore(std::move(parts)));
  };
  auto store = make();
  if (!store.ok()) (void)arrow::fs::FinalizeS3();
  return store;
}

ObjectStore::ObjectStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

ObjectStore::~ObjectStore() {
  parts_.reset();
  (void)arrow::fs::FinalizeS3();
}

Status ObjectStore::Put(const std::string& folder, const std::string& url,
                        const std::string& record) {
  ANAM_ASSIGN_OR_RETURN(const StoreUrl at, ParseStoreUrl(url));
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(folder));
  const std::string base = at.key_path() + "/";
  for (const std::string& name : names) {
    if (name == kManifest) continue;
    ANAM_RETURN_IF_ERROR(parts_->PutFile(folder + "/" + name, base + name, url));
  }
  if (!record.empty()) ANAM_RETURN_IF_ERROR(parts_->PutFile(record, base + kRecord, url));
  return parts_->PutFile(folder + "/" + kManifest, base + kManifest, url);
}

Status ObjectStore::Get(const std::string& url, const std::string& folder) {
  ANAM_ASSIGN_OR_RETURN(const StoreUrl at, ParseStoreUrl(url));
  ANAM_ASSIGN_OR_RETURN(const std::vector<arrow::fs::FileInfo> entries, parts_->Entries(at, url));
  if (entries.empty()) {
    ANAM_RETURN_IF_ERROR(List(url).status());  // no bucket says so
    return NotFound(url, ": nothing is there");
  }
  if (PathExists(folder)) return AlreadyExists(folder, ": is there already");
  ANAM_RETURN_IF_ERROR(MakeDirectories(folder));
  for (const arrow::fs::FileInfo& info : entries) {
    const std::string name = info.base_name();
    if (!info.IsFile() || name.empty() || name.find('/') != std::string::npos) continue;
    ANAM_RETURN_IF_ERROR(parts_->GetFile(info, folder + "/" + name, url));
  }
  return SyncDirectory(folder);
}

StatusOr<std::vector<std::string>> ObjectStore::List(const std::string& url) {
  ANAM_ASSIGN_OR_RETURN(const StoreUrl at, ParseStoreUrl(url));
  ANAM_ASSIGN_OR_RETURN(const std::vector<arrow::fs::FileInfo> entries, parts_->Entries(at, url));
  if (entries.empty()) {  // so says a listing of no bucket as well
    const auto bucket = parts_->files->GetFileInfo(at.bucket);
    if (!bucket.ok()) return FromArrow(bucket.status(), url);
    if (bucket->type() == arrow::fs::FileType::NotFound) {
      return NotFound(url, ": the checkpoint store has no bucket of that name");
    }
  }
  std::vector<std::string> names;
  for (const arrow::fs::FileInfo& info : entries) names.push_back(info.base_name());
  std::sort(names.begin(), names.end());
  return names;
}

Status ObjectStore::Remove(const std::string& url) {
  ANAM_ASSIGN_OR_RETURN(const StoreUrl at, ParseStoreUrl(url));
  if (at.prefix.empty()) return InvalidArgument(url, ": a whole bucket is not removed");
  ANAM_ASSIGN_OR_RETURN(const std::vector<arrow::fs::FileInfo> entries, parts_->Entries(at, url));
  if (entries.empty()) return absl::OkStatus();
  const Status status = FromArrow(parts_->files->DeleteDir(at.key_path()), url);
  parts_->on_progress();
  return status;
}

}  // namespace anamnesis::object_store
