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

// Protobuf wire format: a field's key is (number << 3 | type); 0 varint, 1 fixed64, 2 bytes, 5
// fixed32.
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

// Reads the fields of one protobuf message. Stops at what it does not understand.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  // The next field; a length-delimited one has its content in `bytes`, a varint its value in
  // `number`.
  struct Field {
    uint64_t key = 0;  // number << 3 | type
    uint64_t number = 0;
    std::string_view bytes;
  };
  bool Next(Field* field) {
    if (rest_.empty() || !Varint(&field->key)) return false;
    switch (field->key & 7) {
      case 0:
        return Varint(&field->number);
      case 1:
        return Take(8, field);
      case 2:
        return Varint(&field->number) && Take(field->number, field);
      case 5:
        return Take(4, field);
      default:
        return false;
    }
  }

 private:
  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; !rest_.empty() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      *value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return true;
    }
    return false;
  }
  bool Take(uint64_t size, Field* field) {
    if (size > rest_.size()) return false;
    field->bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
};

void NoteSteps(std::string_view event, LastSteps* last) {
  int64_t step = 0;
  std::string_view summary;
  FieldReader::Field field;
  for (FieldReader fields(event); fields.Next(&field);) {
    if (field.key == (2 << 3 | 0)) step = static_cast<int64_t>(field.number);
    if (field.key == (5 << 3 | 2)) summary = field.bytes;
  }
  for (FieldReader values(summary); values.Next(&field);) {
    const std::string_view value = field.bytes;
    for (FieldReader inside(value); inside.Next(&field);) {
      if (field.key != (1 << 3 | 2)) continue;
      int64_t& known = (*last)[std::string(field.bytes)];
      known = std::max(known, step);
    }
  }
}

void NoteStepsOfFile(std::string_view content, LastSteps* last) {
  for (size_t at = 0; at + 16 <= content.size();) {
    uint64_t size = 0;
    std::memcpy(&size, content.data() + at, sizeof(size));
    if (size > content.size() - at - 16) break;
    NoteSteps(content.substr(at + 12, size), last);
    at += 16 + size;
  }
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

StatusOr<LastSteps> LastStepsIn(const std::string& directory) {
  LastSteps last;
  if (!IsDirectory(directory)) return last;
  ANAM_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  for (const std::string& name : names) {
    if (!name.starts_with("events.out.tfevents.")) continue;
    ANAM_ASSIGN_OR_RETURN(const std::string content, ReadFile(directory + "/" + name));
    NoteStepsOfFile(content, &last);
  }
  return last;
}

StatusOr<std::unique_ptr<EventWriter>> EventWriter::Open(const std::string& directory,
                                                         LastSteps written, const Clock& clock) {
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
        new EventWriter(path, std::move(file), std::move(written), clock));
    ANAM_RETURN_IF_ERROR(writer->Append(
        FrameRecord(EncodeVersionEvent(absl::ToDoubleSeconds(now - absl::UnixEpoch())))));
    return writer;
  }
}

Status EventWriter::Write(int64_t step, const Scalars& scalars) {
  Scalars fresh;
  for (const auto& scalar : scalars) {
    const auto it = written_.find(scalar.first);
    if (it == written_.end() || step > it->second) fresh.push_back(scalar);
  }
  if (fresh.empty()) return absl::OkStatus();
  const double now_s = absl::ToDoubleSeconds(clock_.Now() - absl::UnixEpoch());
  return Append(FrameRecord(EncodeScalarEvent(now_s, step, fresh)));
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
