// SPDX-License-Identifier: Apache-2.0
// TrackerFile: an append-only file of whole records that outlives a full disk. What the disk
// refuses waits in memory and goes first at the next Append, at the same place: a record that got
// there in part is written over, so a reader sees at most a torn end. Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/io/file.h"

namespace anamnesis::track {

class TrackerFile {
 public:
  // More than this does not wait.
  static constexpr uint64_t kMaxWaitingBytes = 8 << 20;

  // A new file; kAlreadyExists when there is one, kInvalidArgument when it cannot be made.
  static StatusOr<TrackerFile> Create(const std::string& path);
  // Goes on behind the first `size_bytes` of a file.
  static StatusOr<TrackerFile> Continue(const std::string& path, uint64_t size_bytes);

  // Hands the records to the system, so that a kill loses nothing that was taken.
  // kResourceExhausted for a full disk, kInternal for another error: the records wait; past
  // kMaxWaitingBytes they are dropped, which the text says. kNotFound once the file was removed or
  // replaced: dropped too.
  Status Append(std::string_view records);

  const std::string& path() const { return path_; }
  // Where the next record will lie.
  uint64_t end_bytes() const { return written_bytes_ + waiting_.size(); }

 private:
  TrackerFile(std::string path, FileDescriptor file, uint64_t written_bytes)
      : path_(std::move(path)), file_(std::move(file)), written_bytes_(written_bytes) {}
  Status WriteWaiting();

  std::string path_;
  FileDescriptor file_;
  uint64_t written_bytes_ = 0;
  std::string waiting_;
};

}  // namespace anamnesis::track
