// SPDX-License-Identifier: Apache-2.0
#include "workers/track/tracker_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace anamnesis::track {

StatusOr<TrackerFile> TrackerFile::Create(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.valid()) return TrackerFile(path, std::move(file), 0);
  if (errno == EEXIST) return AlreadyExists(path, ": is there already");
  return InvalidArgument(path, ": cannot be created: ", ErrnoText(errno));
}

StatusOr<TrackerFile> TrackerFile::Continue(const std::string& path, uint64_t size_bytes) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return InvalidArgument(path, ": cannot be opened: ", ErrnoText(errno));
  return TrackerFile(path, std::move(file), size_bytes);
}

Status TrackerFile::Append(std::string_view records) {
  struct stat found {};
  if (fstat(file_.get(), &found) != 0 || found.st_nlink == 0) {
    waiting_.clear();
    return NotFound(path_, ": was removed or replaced by another attempt");
  }
  const bool fits = waiting_.empty() || waiting_.size() + records.size() <= kMaxWaitingBytes;
  if (fits) waiting_.append(records);
  const Status status = WriteWaiting();
  if (fits) return status;
  return status.ok() ? Append(records)
                     : ResourceExhausted(MessageOf(status), "; ", kMaxWaitingBytes >> 20,
                                         " MiB wait already, a record is dropped");
}

Status TrackerFile::WriteWaiting() {
  for (size_t done = 0; done < waiting_.size();) {
    const ssize_t written = pwrite(file_.get(), waiting_.data() + done, waiting_.size() - done,
                                   static_cast<off_t>(written_bytes_ + done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
      return ResourceExhausted(path_, ": the disk is full: ", ErrnoText(errno));
    }
    if (written < 0) return Internal(path_, ": write failed: ", ErrnoText(errno));
    done += static_cast<size_t>(written);
  }
  written_bytes_ += waiting_.size();
  waiting_.clear();
  return absl::OkStatus();
}

}  // namespace anamnesis::track
