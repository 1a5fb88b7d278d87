// SPDX-License-Identifier: Apache-2.0
// Files: whole reads, positioned reads, and durable writes (temporary name, fsync, rename, fsync of
// the folder). Errors: kInvalidArgument for a path that cannot be opened (an input named by the
// user), kDataLoss for a short read, kResourceExhausted for a full disk, kInternal otherwise. Texts
// name path, operation and the system's reason.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace anamnesis {

// An open file descriptor, closed on destruction. Move-only.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();
  void Reset();

 private:
  int fd_ = -1;
};

StatusOr<std::string> ReadFile(const std::string& path);
StatusOr<FileDescriptor> OpenForRead(const std::string& path);
// Reads exactly `size_bytes` at `offset`; a file that ends before is kDataLoss. Thread-safe on one
// descriptor.
Status ReadAt(const FileDescriptor& file, const std::string& path, uint64_t offset, void* out,
              size_t size_bytes);
StatusOr<uint64_t> FileSize(const std::string& path);
StatusOr<std::string> FileSha256(const std::string& path);  // streamed in 1 MiB blocks

// Writes a file that appears whole or not at all: temporary name beside it, fsync, rename, fsync of
// the folder.
Status WriteFileDurably(const std::string& path, std::string_view content);

// A file written piece by piece under a temporary name and renamed by Commit(); removed when
// dropped uncommitted.
class StagedFile {
 public:
  static StatusOr<StagedFile> Create(const std::string& path);
  StagedFile(StagedFile&&) noexcept = default;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  Status Append(std::string_view data);
  uint64_t size_bytes() const { return size_bytes_; }
  Status Commit();

 private:
  StagedFile() = default;
  std::string path_;
  std::string temporary_;
  FileDescriptor fd_;
  uint64_t size_bytes_ = 0;
};

Status SyncDirectory(const std::string& path);
Status MakeDirectories(const std::string& path);
bool PathExists(const std::string& path);
bool IsDirectory(const std::string& path);
// Names (not paths) of the folder's entries, sorted by byte value; without "." and "..".
StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);

}  // namespace anamnesis
