// SPDX-License-Identifier: Apache-2.0
#include "common/hub/blob.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/io/file.h"

namespace anamnesis::hub {
namespace {

constexpr long kOk = 200, kPartial = 206, kRangeRefused = 416;

// The quotes and the mark of a weak tag are not part of a blob's name.
std::string NameOfTag(std::string tag) {
  if (tag.starts_with("W/")) tag.erase(0, 2);
  std::erase(tag, '"');
  return tag;
}

bool IsHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<uint64_t> Number(const std::string& text) {
  if (text.empty() || text.size() > 18 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  return std::strtoull(text.c_str(), nullptr, 10);
}

Status WriteAll(int fd, const std::string& path, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == ENOSPC) return ResourceExhausted(path, ": the disk is full");
    if (written < 0) return Internal(path, ": cannot write: ", ErrnoText(errno));
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// Size and checksum of what was received; a file that does not fit is removed.
Status CheckReceived(const BlobInfo& info, const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  if (info.size_bytes.has_value() && size < *info.size_bytes) {
    return Unavailable(size, " of ", *info.size_bytes, " bytes arrived");
  }
  Status status;
  if (info.size_bytes.has_value() && size != *info.size_bytes) {
    status = DataLoss(size, " bytes arrived, expected ", *info.size_bytes);
  } else if (info.has_sha256()) {
    ANAM_ASSIGN_OR_RETURN(const std::string digest, FileSha256(path));
    if (digest != info.etag) status = DataLoss("SHA-256 ", digest, ", expected ", info.etag);
  }
  if (!status.ok()) ::unlink(path.c_str());
  return status;
}

}  // namespace

StatusOr<BlobInfo> BlobInfoOf(const HttpResponse& response, const std::string& url) {
  const std::string& linked = response.Header("x-linked-etag");
  BlobInfo info;
  info.etag = NameOfTag(linked.empty() ? response.Header("etag") : linked);
  const bool is_digest = (info.etag.size() == 64 || info.etag.size() == 40) && IsHex(info.etag);
  if (!is_digest) {
    return Unavailable(url,
                       ": the answer names no content (ETag of 40 or 64 hex digits); is "
                       "HF_ENDPOINT a hub?");
  }
  info.size_bytes = Number(response.Header("x-linked-size"));
  if (linked.empty() && response.status == kOk && response.Header("content-encoding").empty()) {
    info.size_bytes = Number(response.Header("content-length"));
  }
  return info;
}

StatusOr<HttpResponse> FetchBlob(HttpClient* http, const std::string& url, const BlobInfo& info,
                                 const std::string& path,
                                 const std::function<void(uint64_t done)>& progress,
                                 uint64_t* fetched_bytes) {
  const std::string incomplete = path + ".incomplete";
  FileDescriptor file(::open(incomplete.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return InvalidArgument(incomplete, ": cannot open: ", ErrnoText(errno));
  const off_t end = ::lseek(file.get(), 0, SEEK_END);
  uint64_t done = end < 0 ? 0 : static_cast<uint64_t>(end);
  HttpResponse response;
  if (!info.size_bytes.has_value() || done != *info.size_bytes || done == 0) {
    const auto start = [&](long status) -> Status {
      if (status == kPartial) return absl::OkStatus();
      done = 0;  // the whole content comes
      if (::ftruncate(file.get(), 0) == 0 && ::lseek(file.get(), 0, SEEK_SET) == 0)
        return absl::OkStatus();
      return Internal(incomplete, ": cannot be emptied: ", ErrnoText(errno));
    };
    const auto sink = [&](std::string_view piece) -> Status {
      ANAM_RETURN_IF_ERROR(WriteAll(file.get(), incomplete, piece));
      done += piece.size();
      *fetched_bytes += piece.size();
      if (progress) progress(done);
      return absl::OkStatus();
    };
    ANAM_ASSIGN_OR_RETURN(response, http->Stream(url, done, start, sink));
    if (response.status == kRangeRefused) {  // it was longer than the file, so not a part of it
      ::unlink(incomplete.c_str());
      return Unavailable(url, ": the part received before does not fit");
    }
    if (response.status != kOk && response.status != kPartial) return response;
  } else {
    response.status = kOk;
  }
  if (::fsync(file.get()) != 0) return Internal(incomplete, ": fsync: ", ErrnoText(errno));
  file.Reset();
  ANAM_RETURN_IF_ERROR(AddContext(CheckReceived(info, incomplete), url));
  if (std::rename(incomplete.c_str(), path.c_str()) != 0) {
    return Internal(incomplete, ": cannot be renamed: ", ErrnoText(errno));
  }
  return response;
}

}  // namespace anamnesis::hub
