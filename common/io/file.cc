// SPDX-License-Identifier: Apache-2.0
#include "common/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "common/base/sha256.h"

namespace anamnesis {
namespace {

// What a failed write means to the caller: a full disk can be tried again, the rest is an error.
Status WriteError(const std::string& path, const char* operation, int error) {
  const std::string text = Cat(path, ": cannot ", operation, ": ", ErrnoText(error));
  if (error == ENOSPC || error == EDQUOT) return ResourceExhausted(text);
  if (error == EACCES || error == EPERM || error == EROFS || error == ENOENT || error == ENOTDIR) {
    return InvalidArgument(text);
  }
  return Internal(text);
}

Status WriteAll(int fd, const std::string& path, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return WriteError(path, "write", errno);
    }
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

int FileDescriptor::Release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void FileDescriptor::Reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

StatusOr<std::string> ReadFile(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(FileDescriptor file, OpenForRead(path));
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got == 0) return content;
    if (got < 0) {
      if (errno == EINTR) continue;
      return InvalidArgument(path, ": cannot read: ", ErrnoText(errno));
    }
    content.append(buffer, static_cast<size_t>(got));
  }
}

StatusOr<FileDescriptor> OpenForRead(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return InvalidArgument(path, ": cannot open: ", ErrnoText(errno));
  return file;
}

Status ReadAt(const FileDescriptor& file, const std::string& path, uint64_t offset, void* out,
              size_t size_bytes) {
  auto* cursor = static_cast<char*>(out);
  size_t left = size_bytes;
  while (left > 0) {
    const ssize_t got = ::pread(file.get(), cursor, left, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return Internal(path, ": cannot read at byte ", offset, ": ", ErrnoText(errno));
    }
    if (got == 0) {
      return DataLoss(path, ": ends at byte ", offset, ", expected ", left,
                      " more bytes (truncated?)");
    }
    cursor += got;
    offset += static_cast<uint64_t>(got);
    left -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

StatusOr<uint64_t> FileSize(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return InvalidArgument(path, ": cannot open: ", ErrnoText(errno));
  }
  return static_cast<uint64_t>(info.st_size);
}

StatusOr<std::string> FileSha256(const std::string& path) {
  ANAM_ASSIGN_OR_RETURN(FileDescriptor file, OpenForRead(path));
  Sha256 sha;
  std::string buffer(1 << 20, '\0');
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got == 0) return sha.HexDigest();
    if (got < 0) {
      if (errno == EINTR) continue;
      return InvalidArgument(path, ": cannot read: ", ErrnoText(errno));
    }
    sha.Update(buffer.data(), static_cast<size_t>(got));
  }
}

Status WriteFileDurably(const std::string& path, std::string_view content) {
  ANAM_ASSIGN_OR_RETURN(StagedFile staged, StagedFile::Create(path));
  ANAM_RETURN_IF_ERROR(staged.Append(content));
  return staged.Commit();
}

StatusOr<StagedFile> StagedFile::Create(const std::string& path) {
  StagedFile staged;
  staged.path_ = path;
  staged.temporary_ = Cat(path, ".tmp-", ::getpid());
  staged.fd_ = FileDescriptor(
      ::open(staged.temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!staged.fd_.valid()) return WriteError(path, "create", errno);
  return staged;
}

StagedFile::~StagedFile() {
  if (fd_.valid()) ::unlink(temporary_.c_str());
}

Status StagedFile::Append(std::string_view data) {
  ANAM_RETURN_IF_ERROR(WriteAll(fd_.get(), path_, data));
  size_bytes_ += data.size();
  return absl::OkStatus();
}

Status StagedFile::Commit() {
  if (::fsync(fd_.get()) != 0) return WriteError(path_, "fsync", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return WriteError(path_, "rename", errno);
  fd_.Reset();
  return SyncDirectory(ParentOf(path_));
}

Status SyncDirectory(const std::string& path) {
  FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return WriteError(path, "open", errno);
  if (::fsync(directory.get()) != 0) return WriteError(path, "fsync", errno);
  return absl::OkStatus();
}

Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return WriteError(path, "create the folder", error.value());
  return absl::OkStatus();
}

bool PathExists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  if (error) return InvalidArgument(path, ": cannot list the folder: ", error.message());
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace anamnesis
