// SPDX-License-Identifier: Apache-2.0
#include "workers/track/event_writer.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/base/crc32c.h"
#include "workers/track/wire.h"

namespace anamnesis::track {
namespace {

constexpr int64_t kStringType = 7;  // DT_STRING of tensorboard/compat/proto/types.proto

uint32_t MaskedCrc(std::string_view data) {
  const uint32_t crc = Crc32c(data.data(), data.size());
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <typename T>
void PutFixed(T value, std::string* out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

void NoteSteps(std::string_view event, LastSteps* last) {
  int64_t step = 0;
  std::string_view summary;
  WireReader::Field field;
  for (WireReader fields(event); fields.Next(&field);) {
    if (field.key == WireKey(2, kVarint)) step = static_cast<int64_t>(field.number);
    if (field.key == WireKey(5, kBytes)) summary = field.bytes;
  }
  for (WireReader values(summary); values.Next(&field);) {
    const std::string_view value = field.bytes;
    for (WireReader inside(value); inside.Next(&field);) {
      if (field.key != WireKey(1, kBytes)) continue;
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
  WireWriter summary;
  for (const auto& [tag, number] : scalars) {
    summary.Message(1, WireWriter().Bytes(1, tag).Float(2, static_cast<float>(number)));
  }
  return WireWriter().Double(1, wall_time_s).Int(2, step).Message(5, summary).bytes();
}

std::string EncodeTextEvent(double wall_time_s, const std::string& tag, std::string_view text) {
  const WireWriter plugin = WireWriter().Bytes(1, "text");
  const WireWriter shape = WireWriter().Message(2, WireWriter().Int(1, 1));
  const WireWriter tensor = WireWriter().Int(1, kStringType).Message(2, shape).Bytes(8, text);
  const WireWriter value = WireWriter()
                               .Bytes(1, tag + kTextSuffix)
                               .Message(8, tensor)
                               .Message(9, WireWriter().Message(1, plugin));
  return WireWriter()
      .Double(1, wall_time_s)
      .Int(2, 0)
      .Message(5, WireWriter().Message(1, value))
      .bytes();
}

std::string EncodeVersionEvent(double wall_time_s) {
  return WireWriter().Double(1, wall_time_s).Bytes(3, "brain.Event:2").bytes();
}

std::string FrameRecord(std::string_view message) {
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
  const std::string stem = Cat(directory, "/events.out.tfevents.", absl::ToUnixSeconds(clock.Now()),
                               ".", HostName(), ".", getpid(), ".");
  for (int n = 0;; ++n) {
    StatusOr<TrackerFile> file = TrackerFile::Create(Cat(stem, n));
    if (file.status().code() == absl::StatusCode::kAlreadyExists) continue;
    ANAM_RETURN_IF_ERROR(file.status());
    std::unique_ptr<EventWriter> writer(
        new EventWriter(*std::move(file), std::move(written), clock));
    // What a full disk refuses waits in the file.
    writer->Append(EncodeVersionEvent(writer->WallTime())).IgnoreError();
    return writer;
  }
}

Status EventWriter::Write(int64_t step, const Scalars& scalars) {
  Scalars fresh;
  for (const auto& scalar : scalars) {
    const auto [known, is_new] = written_.try_emplace(scalar.first, step);
    if (!is_new && step <= known->second) continue;
    known->second = step;
    fresh.push_back(scalar);
  }
  if (fresh.empty()) return absl::OkStatus();
  return Append(EncodeScalarEvent(WallTime(), step, fresh));
}

Status EventWriter::WriteText(const std::string& tag, std::string_view text) {
  if (!written_.try_emplace(tag + kTextSuffix, 0).second) return absl::OkStatus();
  return Append(EncodeTextEvent(WallTime(), tag, text));
}

double EventWriter::WallTime() const {
  return absl::ToDoubleSeconds(clock_.Now() - absl::UnixEpoch());
}

Status EventWriter::Append(std::string_view message) { return file_.Append(FrameRecord(message)); }

}  // namespace anamnesis::track
