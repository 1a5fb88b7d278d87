// SPDX-License-Identifier: Apache-2.0
// Writes TensorBoard event files (tensorboard/compat/proto/event.proto, summary.proto; TFRecord
// framing of tensorflow/core/lib/io/record_writer.h): per record u64 length, masked CRC-32C of the
// length, the Event message, masked CRC-32C of the message. Scalars by simple_value, as
// SummaryWriter.add_scalar does; texts as its add_text does. Thread-compatible.
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
#include "workers/track/log_row.h"
#include "workers/track/tracker_file.h"

namespace anamnesis::track {

inline constexpr char kTextSuffix[] = "/text_summary";  // of a text's tag

// One Event message with scalars, encoded.
std::string EncodeScalarEvent(double wall_time_s, int64_t step, const Scalars& scalars);
// One Event message with a text of the plugin "text", at step 0, under tag + kTextSuffix.
std::string EncodeTextEvent(double wall_time_s, const std::string& tag, std::string_view text);
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
  // A new file in `directory` (made when absent). What is not above its tag's step in `written` is
  // dropped: a resumed run gives LastStepsIn(directory), so that no step is there twice.
  static StatusOr<std::unique_ptr<EventWriter>> Open(const std::string& directory,
                                                     LastSteps written, const Clock& clock);

  // Appends one event; errors as of TrackerFile::Append. A tag has each step once.
  Status Write(int64_t step, const Scalars& scalars);
  // A text is written once.
  Status WriteText(const std::string& tag, std::string_view text);
  const std::string& path() const { return file_.path(); }

 private:
  EventWriter(TrackerFile file, LastSteps written, const Clock& clock)
      : file_(std::move(file)), written_(std::move(written)), clock_(clock) {}
  double WallTime() const;  // seconds since 1970
  Status Append(std::string_view message);

  TrackerFile file_;
  LastSteps written_;
  const Clock& clock_;
};

}  // namespace anamnesis::track
