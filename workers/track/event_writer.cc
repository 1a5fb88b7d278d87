// SPDX-License-Identifier: Apache-2.0
#include "workers/track/event_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "common/base/crc32c.h"

namespace anamnesis::track {
namespace {

// Protobuf wire format: a field's key is (number << 3 | type); 0 varint, 1 fixed64, 2 bytes, 5 fixed32.
void PutVarint(uint64_t value, std::string* out) {
  for (; value >= 128; value >>= 7) *out += static_cast<char>(value | 128);
  *out += static_cast<char>(value);
}

template <typename T>
void PutFixed(T value, std::string* out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

void PutBytes(int field, std::string_view value, std::string* out) {
  PutVarint(static_cast<uint64_t>(field) << 3 | 2, out);
  PutVarint(value.size(), out);
  out->append(value);
}

std::string EventStart(double wall_time_s) {
  std::string event;
  PutVarint(1 << 3 | 1, &event);  // wall_time
  PutFixed(wall_time_s, &event);
  return event;
}

uint32_t MaskedCrc(std::string_view data) {
  const uint32_t crc = Crc32c(data.data(), data.size());
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// The step of an encoded Event that holds a summary; 0 for any other.
int64_t StepOf(std::string_view event) {
  int64_t step = 0;
  bool has_summary = false;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; at < event.size() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(event[at++]);
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < event.size()) {
    const uint64_t key = varint();
    if (key == (2 << 3 | 0)) {
      step = static_cast<int64_t>(varint());
    } else if ((key & 7) == 0) {
      varint();
    } else if ((key & 7) == 1) {
      at += 8;
    } else if ((key & 7) == 5) {
      at += 4;
    } else if ((key & 7) == 2) {
      has_summary = has_summary || key == (5 << 3 | 2);
      const uint64_t size = varint();
      if (size > event.size()) return 0;
      at += size;
    } else {
      return 0;
    }
  }
  return has_summary ? step : 0;
}

int64_t LastStepOfFile(std::string_view content) {
  int64_t last = 0;
  for (size_t at = 0; at + 16 <= content.size();) {
    uint64_t size = 0;
    std::memcpy(&size, content.data() + at, sizeof(size));
    if (size > content.size() - at - 16) break;
    last = std::max(last, StepOf(content.substr(at + 12, size)));
    at += 16 + size;
  }
  return last;
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return name;
}

}  // namespace

std::string EncodeScalarEvent(double wall_time_s, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    PutBytes(1, tag, &value);
    PutVarint(2 << 3 | 5, &value);  // simple_value
    PutFixed(static_cast<float>(number), &value);
    PutBytes(1, value, &summary);
  }
  std::string event = EventStart(wall_time_s);
  PutVarint(2 << 3 | 0, &event);
  PutVarint(static_cast<uint64_t>(step), &event);
  PutBytes(5, summary, &event);
  return event;
}

std::string EncodeVersionEvent(double wall_time_s) {
  std::string event = EventStart(wall_time_s);
  PutBytes(3, "brain.Event:2", &event);
  return event;
}

std::string FrameRecord(std::string_view message) {
  static_assert(std::endian::native == std::endian::little);
  std::string record;
  PutFixed(static_cast<uint64_t>(message.size()), &record);
  PutFixed(MaskedCrc(record), &record);
  record.append(message);
  PutFixed(MaskedCrc(message), &record);
  return record;
}

StatusOr<int64_t> LastStepIn(const std::string& directory) {
  int64_t last = 0;
  if (!IsDirectory(directory)) return last;
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  for (const std::string& name : names) {
    if (!name.starts_with("events.out.tfevents.")) continue;
    ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(directory + "/" + name));
    last = std::max(last, LastStepOfFile(content));
  }
  return last;
}

StatusOr<std::unique_ptr<EventWriter>> EventWriter::Open(const std::string& directory,
                                                         int64_t last_step_written,
                                                         const Clock& clock) {
  ANAM_RETURN_IF_ERROR(MakeDirectories(directory));
  const absl::Time now = clock.Now();
  const std::string stem = Cat(directory, "/events.out.tfevents.", absl::ToUnixSeconds(now), ".",
                               HostName(), ".", getpid(), ".");
  for (int n = 0;; ++n) {
    const std::string path = Cat(stem, n);
    FileDescriptor file(
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
    if (!file.valid() && errno == EEXIST) continue;
    if (!file.valid()) return InvalidArgument(path, ": cannot be created: ", ErrnoText(errno));
    std::unique_ptr<EventWriter> writer(
        new EventWriter(path, std::move(file), last_step_written, clock));
    ANAM_RETURN_IF_ERROR(writer->Append(
        FrameRecord(EncodeVersionEvent(absl::ToDoubleSeconds(now - absl::UnixEpoch())))));
    return writer;
  }
}

Status EventWriter::Write(int64_t step, const Scalars& scalars) {
  if (step <= last_step_written_) return absl::OkStatus();
  const double now_s = absl::ToDoubleSeconds(clock_.Now() - absl::UnixEpoch());
  return Append(FrameRecord(EncodeScalarEvent(now_s, step, scalars)));
}

Status EventWriter::Append(std::string_view record) {
  while (!record.empty()) {
    const ssize_t written = write(file_.get(), record.data(), record.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == ENOSPC || errno == EDQUOT)) {
      return ResourceExhausted(path_, ": the disk is full: ", ErrnoText(errno));
    }
    if (written < 0) return Internal(path_, ": write failed: ", ErrnoText(errno));
    record.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace anamnesis::track
