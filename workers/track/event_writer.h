// SPDX-License-Identifier: Apache-2.0
// Writes TensorBoard event files (tensorboard/compat/proto/event.proto, summary.proto; TFRecord
// framing of tensorflow/core/lib/io/record_writer.h): per record u64 length, masked CRC-32C of the
// length, the Event message, masked CRC-32C of the message. Scalars by simple_value, as
// SummaryWriter.add_scalar does. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/io/file.h"

namespace anamnesis::track {

using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value

// One Event message with scalars, encoded.
std::string EncodeScalarEvent(double wall_time_s, int64_t step, const Scalars& scalars);
// The first event of a file.
std::string EncodeVersionEvent(double wall_time_s);
// The framed record around a message.
std::string FrameRecord(std::string_view message);

// The last step of each tag in the folder's event files; what is torn at a file's end is not
// counted.
using LastSteps = std::map<std::string, int64_t>;
StatusOr<LastSteps> LastStepsIn(const std::string& directory);

class EventWriter {
 public:
  // A new file in `directory` (made when absent). A scalar whose step is not above its tag's in
  // `written` is dropped: a resumed run gives LastStepsIn(directory), so that no step is there
  // twice.
  static StatusOr<std::unique_ptr<EventWriter>> Open(const std::string& directory,
                                                     LastSteps written, const Clock& clock);

  // Appends one event and hands it to the system, so that a kill loses nothing that was written.
  Status Write(int64_t step, const Scalars& scalars);
  const std::string& path() const { return path_; }

 private:
  EventWriter(std::string path, FileDescriptor file, LastSteps written, const Clock& clock)
      : path_(std::move(path)),
        file_(std::move(file)),
        written_(std::move(written)),
        clock_(clock) {}
  Status Append(std::string_view record);

  std::string path_;
  FileDescriptor file_;
  LastSteps written_;
  const Clock& clock_;
};

}  // namespace anamnesis::track
